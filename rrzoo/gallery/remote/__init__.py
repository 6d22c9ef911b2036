"""Pictures that are no files of a folder here: below an address of object storage, in WebDataset shards, in Parquet.

They are listed first, and read one by one, by whichever machine embeds them: pyarrow, which this room alone uses,
opens the address there, too.
"""

from rrzoo.gallery.remote.listing import is_remote, of_address

__all__ = ["is_remote", "of_address"]
