//! Environment variables on the command line: an empty one counts as unset, and an error in a value names the variable.
//!
//! clap parses an empty variable as a value, and its errors name only the flag.

use std::error::Error;
use std::ffi::OsString;
use std::num::ParseIntError;

use clap::builder::Resettable;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

/// Makes the command and its subcommands ignore empty variables.
pub fn ignore_empty_variables(command: Command) -> Command {
    command.mut_args(|argument| ignore_if_empty(argument, |name| std::env::var_os(name))).mut_subcommands(ignore_empty_variables)
}

fn ignore_if_empty(argument: Arg, variable: impl Fn(&str) -> Option<OsString>) -> Arg {
    let value = argument.get_env().and_then(|name| variable(&name.to_string_lossy()));
    match value {
        Some(value) if value.to_string_lossy().trim().is_empty() => argument.env(Resettable::Reset),
        _ => argument,
    }
}

/// Returns the error of a value that comes from a variable, in the form of [`super::ConfigError`]; `None` if the error has another
/// cause.
pub fn invalid_variable(error: &clap::Error, command: &Command, arguments: &[OsString]) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::InvalidValue | ErrorKind::ValueValidation) {
        return None;
    }
    let (Some(ContextValue::String(argument)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return None;
    };
    // Such as `--port <PORT>`.
    let flag = argument.split(' ').next().filter(|flag| flag.starts_with("--"))?;
    let is_flag = |argument: &OsString| argument.to_string_lossy().split('=').next() == Some(flag);
    if arguments.iter().any(is_flag) {
        return None;
    }
    let variable = variable_of(command, flag.trim_start_matches('-'))?;
    Some(format!("invalid {variable}: {}", broken_rule(error, value)))
}

fn variable_of(command: &Command, flag: &str) -> Option<String> {
    let argument = command.get_arguments().find(|argument| argument.get_long() == Some(flag));
    let variable = argument.and_then(Arg::get_env).map(|name| name.to_string_lossy().into_owned());
    variable.or_else(|| command.get_subcommands().find_map(|command| variable_of(command, flag)))
}

fn broken_rule(error: &clap::Error, value: &str) -> String {
    if let Some(ContextValue::Strings(values)) = error.get(ContextKind::ValidValue)
        && !values.is_empty()
    {
        return format!("must be {}; found {value:?}", values.join(" or "));
    }
    match error.source() {
        Some(rule) if rule.is::<ParseIntError>() => format!("must be a whole number; found {value:?}"),
        Some(rule) if rule.to_string().contains(value) => rule.to_string(),
        Some(rule) => format!("{rule}; found {value:?}"),
        None => format!("found {value:?}"),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::config::Config;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        config: Config,
    }

    /// The error of a value, as if it came from the variable of this flag.
    fn explain(flag: &str, value: &str) -> Option<String> {
        let error = Cli::try_parse_from(["image-service", flag, value]).expect_err(value);
        invalid_variable(&error, &Cli::command(), &["image-service".into()])
    }

    #[test]
    fn an_invalid_value_of_a_variable_is_reported_by_its_name() {
        for (flag, value, message) in [
            ("--port", "web", "invalid PORT: must be a whole number; found \"web\""),
            ("--port", "99999", "invalid PORT: 99999 is not in 0..=65535"),
            ("--import-ports", "80, http", "invalid IMPORT_PORTS: each port must be from 1 to 65535; found \" http\""),
            ("--s3-timeout", "soon", "invalid S3_TIMEOUT: must be a whole number of seconds; found \"soon\""),
            ("--auth-mode", "open", "invalid AUTH_MODE: must be trusted or required; found \"open\""),
            ("--keep-location", "perhaps", "invalid KEEP_LOCATION: must be true or false; found \"perhaps\""),
        ] {
            assert_eq!(explain(flag, value).as_deref(), Some(message), "{flag} {value}");
        }
    }

    #[test]
    fn an_invalid_flag_is_left_to_clap() {
        for arguments in [&["image-service", "--port", "web"][..], &["image-service", "--port=web"], &["image-service", "--prot"]]
        {
            let error = Cli::try_parse_from(arguments).expect_err("an error");
            let arguments: Vec<OsString> = arguments.iter().map(OsString::from).collect();
            assert_eq!(invalid_variable(&error, &Cli::command(), &arguments), None, "{arguments:?}");
        }
    }

    #[test]
    fn every_empty_variable_counts_as_unset() {
        let settings: Vec<Arg> =
            Cli::command().get_arguments().filter(|argument| argument.get_env().is_some()).cloned().collect();
        assert!(settings.len() > 80, "only {} settings", settings.len());
        for setting in settings {
            for empty in ["", " "] {
                assert!(ignore_if_empty(setting.clone(), |_| Some(empty.into())).get_env().is_none(), "{setting:?}");
            }
            assert!(ignore_if_empty(setting.clone(), |_| Some("1".into())).get_env().is_some());
            assert!(ignore_if_empty(setting, |_| None).get_env().is_some());
        }
    }
}
