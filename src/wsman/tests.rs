//! The endpoint as clients see it.
