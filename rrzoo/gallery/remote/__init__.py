"""Pictures that are no files of a folder here: below an address of object storage, in WebDataset shards, in Parquet.

They are listed first, and read one by one as they are embedded. pyarrow opens the address.
"""

from rrzoo.gallery.remote.listing import is_remote, of_address

__all__ = ["is_remote", "of_address"]
