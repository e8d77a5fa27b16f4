"""An independent reader of Lumbung repositories, written from docs/format.md alone.

It shares no code with the Rust programs: what it restores, anybody can restore who has the page and a key. It reads, it
verifies, it writes below one target directory, and it never changes the repository.
"""
