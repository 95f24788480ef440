"""Audits: what a paper's numbers, a data set and a released code say against themselves."""
