"""Why a row may score no better than a constant answer, and where that is measured."""

from __future__ import annotations

from dataclasses import dataclass

from harness.errors import UserError
from harness.spec import profiles


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """A measured reason why a row may score no better than a constant answer.

    It is shown where the row does, and only under the conditions that it was measured in.

    Attributes:
        text: the reason, and the command or page that measures it.
        profile: name of the profile that it holds for; "" for all.
        dataset: name of the column's data set that it holds for; "" for all.
        generated: whether it holds for generated images alone.
    """

    text: str
    profile: str = ""
    dataset: str = ""
    generated: bool = False

    def __post_init__(self) -> None:
        if not self.text:
            raise UserError('Explanation.text is ""; say why, and what measures it.')
        if self.profile:
            profiles.find(self.profile)

    def covers(self, profile: str, dataset: str, *, generated: bool) -> bool:
        """Whether it was measured under a profile, on a data set or images generated for it."""
        return (
            self.profile in ("", profile)
            and self.dataset in ("", dataset)
            and (generated or not self.generated)
        )


SAM_HIDES = Explanation(
    text="SAM's masks hide in fine-tuning the lesions that decide the label; on generated"
    " ultrasound and MRI `harness run lesions --profile smoke --datasets busi,btmd` measures it,"
    " with controls (docs/lesions.md)",
    profile="smoke",
    generated=True,
)
"""Of rows that are pre-trained and fine-tuned with SAM as the paper describes it."""
