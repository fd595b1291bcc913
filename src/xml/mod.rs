//! XML in, within limits, and out.
