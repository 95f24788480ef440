"""A pre-trained encoder as a model in MLflow: safetensors, with a signature.

The model is a file of tensors and no code: it is read by ``safetensors.torch.load_file``, and what
makes an encoder of it is the method named in the model's parameters.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.report import tracking_names
from harness.report.tracking_ledger import Mirror, ModelFile
from harness.store import weights

if TYPE_CHECKING:
    from mlflow import MlflowClient

ENCODER = "encoder."
"""Begins the names of the encoder's tensors in the final weights of a stage."""

TAG = "harness.model"
"""Tag of a run whose encoder was logged: the id of the model."""

FILE = "encoder.safetensors"
"""Name of the model's file."""


def log(client: MlflowClient, experiment: str, run_id: str, run: Mirror) -> None:
    """Log a run's encoder as a model, unless its run names one already.

    Raises:
        Damaged: the file of the final weights is missing or was changed.
    """
    from mlflow.entities import LoggedModelOutput

    if run.model is None or client.get_run(run_id).data.tags.get(TAG):
        return
    limit = tracking_names.PARAMETER_LIMIT
    params = {
        tracking_names.key(name): tracking_names.text(str(value), limit)
        for name, value in run.parameters.items()
    }
    made = client.create_logged_model(
        experiment,
        name="encoder",
        source_run_id=run_id,
        params=params,
        model_type="encoder",
        tags={"harness.key": run.key, "harness.weights": run.model.digest},
    )
    with tempfile.TemporaryDirectory() as folder:
        _write(Path(folder), run.model, run.key, made.model_id)
        client.log_model_artifacts(made.model_id, folder)
    client.finalize_logged_model(made.model_id, "READY")
    last = len(run.history) - 1
    client.log_outputs(run_id, [LoggedModelOutput(made.model_id, max(0, last))])
    client.set_tag(run_id, TAG, made.model_id)


def _write(folder: Path, model: ModelFile, key: str, model_id: str) -> None:
    """Write the tensors of an encoder and the file MLmodel that describes them."""
    import numpy as np
    from mlflow.models import Model, ModelSignature
    from mlflow.types.schema import Schema, TensorSpec

    final = weights.load(model.path.parent.parent, key, model.digest)
    tensors = {
        name.removeprefix(ENCODER): tensor
        for name, tensor in final.items()
        if name.startswith(ENCODER)
    }
    weights.write(folder / FILE, tensors)
    images: Any = TensorSpec(np.dtype("float32"), (-1, 3, model.side, model.side), "images")
    features: Any = TensorSpec(np.dtype("float32"), (-1, -1), "features")
    described = Model(
        signature=ModelSignature(inputs=Schema([images]), outputs=Schema([features])),
        flavors={"safetensors": {"data": FILE}},
        model_id=model_id,
    )
    described.save(folder / "MLmodel")
