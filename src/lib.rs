//! `bitsd`: a background file-transfer service for Linux, managed over
//! WS-Management like Windows BITS.
#![allow(dead_code)]

mod auth;
mod bits;
mod cim;
mod cli;
mod client;
pub mod config;
mod engine;
mod provider;
mod soap;
mod store;
mod transfer;
mod wsman;
mod xml;
