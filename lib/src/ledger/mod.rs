//! What a request cost. No IO.
