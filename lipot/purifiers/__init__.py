"""Models that clean an input before a classifier sees it; see `lipot.models.Purified`."""

from lipot.purifiers.median_filter import MedianFilter
