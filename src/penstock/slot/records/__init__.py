"""What a slot remembers: the journal and its record, logs as long as the record says, pages others read."""
