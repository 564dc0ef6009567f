"""How far event time has come in a stage of a slot: its inputs' watermarks, and what follows from them."""
