"""What sources say: their digest, and users' files loaded from their text."""
