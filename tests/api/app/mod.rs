//! Tests of the program: its commands, settings, start and shutdown.

pub mod account_commands;
mod adopt_command;
mod commands;
mod kills;
mod settings;
mod shutdown;
mod startup;
mod upload_kills;
