"""How long a pass takes, by a protocol: warmed up, interleaved, in several processes."""
