"""Signed addresses do not belong into logs, where GDAL and urllib3 write them."""

from __future__ import annotations

import logging
import re
from functools import cache

__all__ = ["keep_secrets_out_of_logs"]

_LOGGERS = (
    *("rasterio", "rasterio._base", "rasterio._env", "rasterio._err", "rasterio._io", "rasterio.env"),
    "urllib3.connectionpool",
)


class _WithoutQueries(logging.Filter):
    """Takes away what stands behind a question mark."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = re.sub(r"\?[^\s\"']+", "", record.getMessage()), ()
        return True


@cache
def keep_secrets_out_of_logs() -> None:
    """Take the queries of addresses out of what GDAL and urllib3 log, from now on in this process."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_WithoutQueries())
