"""Tests of whether printed numbers are possible at all."""
