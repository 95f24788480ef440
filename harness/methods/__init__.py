"""The methods: ``msmae`` is the paper's, ``baselines`` are those it is compared with."""
