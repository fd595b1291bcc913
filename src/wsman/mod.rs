//! The WS-Management operations.
