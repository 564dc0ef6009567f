"""Windows, aggregations and joins: pure values and decisions. Time is in whole microseconds."""
