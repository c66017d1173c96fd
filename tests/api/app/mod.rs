//! Tests of the program: its commands, settings, start and shutdown.

mod commands;
mod kills;
mod startup;
