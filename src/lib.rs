//! `bitsd`: a background file-transfer service for Linux, managed over
//! WS-Management like Windows BITS.
#![allow(dead_code)]

mod auth;
mod bits;
mod cim;
pub mod config;
mod engine;
mod http;
mod net;
mod provider;
mod soap;
mod store;
mod telemetry;
mod transfer;
mod wsman;
mod xml;
