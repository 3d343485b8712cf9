"""Bridges to and from other libraries."""
