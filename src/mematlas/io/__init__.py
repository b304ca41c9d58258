"""Reading and writing files on disk and in object stores: paths, atomic writes, local copies."""
