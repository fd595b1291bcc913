//! Tests of the whole, in one binary.

mod conformance;
mod layers;
