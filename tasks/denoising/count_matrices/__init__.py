"""Reading of count matrices from what single-cell tools write; `files` reads one, `folders` finds them."""
