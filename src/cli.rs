//! The command line. What each command does is in `app.rs`.

mod adopt;

use std::error::Error;
use std::ffi::OsString;
use std::io::{BufRead, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::pin::pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use self::adopt::Adopt;
use crate::app;
use crate::config::{Config, LogFormat, environment};
use crate::http::openapi;
use crate::http::openapi::yaml;
use crate::model::account::{Account, Email};
use crate::model::caller::UserId;
use crate::model::clock::SystemClock;
use crate::service::identity::passwords::Password;
use crate::service::maintenance::doctor::Fix;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// A self-hosted image service: uploads, thumbnails, presigned URLs.
#[derive(Parser)]
#[command(version, about, max_term_width = 120)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API (default).
    Serve(Box<Config>),
    /// Migrate the database schema to this version and exit. `serve` does this too.
    Migrate(Box<Config>),
    /// Print the OpenAPI document.
    Openapi,
    /// Make images of objects that are already in the storage. The objects do not change.
    Adopt(Box<Adopt>),
    /// Compare the database with the bucket and report inconsistencies.
    Doctor(Box<Doctor>),
    /// Create an administrator. Prompts for the password, or reads it from standard input.
    CreateAdmin(Box<CreateAdmin>),
    /// Change the password of an account and end its sessions. Prompts for the password, or reads it from standard input.
    SetPassword(Box<SetPassword>),
    /// Check whether a service on this machine is healthy; for container health checks.
    Healthcheck {
        /// Address that the service listens on.
        #[arg(long, env = "HOST", default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
        host: IpAddr,
        /// Port of the service.
        #[arg(long, env = "PORT", default_value_t = 8000)]
        port: u16,
        /// Port of the health checks, if it differs from PORT.
        #[arg(long, env = "ADMIN_PORT")]
        admin_port: Option<u16>,
    },
}

#[derive(Args)]
struct Doctor {
    /// Correct counters, and remove objects that belong to no image, except originals.
    #[arg(long)]
    fix: bool,
    /// Remove originals that belong to no image in the database, with their thumbnails. There may be no other copy.
    #[arg(long)]
    remove_originals: bool,
    #[command(flatten)]
    config: Config,
}

#[derive(Args)]
struct CreateAdmin {
    /// E-mail address to log in with.
    #[arg(long, value_parser = Email::parse)]
    email: Email,
    /// The `user_id` of the administrator's images; unset: the account's id.
    #[arg(long, value_parser = UserId::parse)]
    user_id: Option<UserId>,
    #[command(flatten)]
    config: Config,
}

#[derive(Args)]
struct SetPassword {
    /// E-mail address of the account.
    #[arg(long, value_parser = Email::parse)]
    email: Email,
    #[command(flatten)]
    config: Config,
}

/// Runs the command that the arguments name.
pub fn run() -> ExitCode {
    let command = read_command();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(128).build();
    let result = runtime.map_err(Into::into).and_then(|runtime| {
        let result = runtime.block_on(execute(command));
        // A DNS look-up may take long, and nothing needs its result any more.
        runtime.shutdown_timeout(Duration::from_secs(1));
        result
    });
    result.unwrap_or_else(|error| {
        eprintln!("error: {}", as_clause(chain(&*error)));
        ExitCode::FAILURE
    })
}

/// Returns the command to run. Without one, this is `serve` with settings from the environment. Exits if the arguments are invalid.
fn read_command() -> Command {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    let serve = || parse(&["image-service".into(), "serve".into()]).command.unwrap_or(Command::Openapi);
    parse(&arguments).command.unwrap_or_else(serve)
}

fn parse(arguments: &[OsString]) -> Cli {
    let definition = environment::ignore_empty_variables(shorten_help(Cli::command()));
    let matches = definition.clone().try_get_matches_from(arguments);
    matches.and_then(|matches| Cli::from_arg_matches(&matches)).unwrap_or_else(|mut error| {
        if let Some(message) = environment::invalid_variable(&error, &definition, arguments) {
            eprintln!("error: {message}");
            std::process::exit(error.exit_code());
        }
        name_missing_command(&mut error, &definition, arguments);
        error.exit()
    })
}

/// Settings that the commands other than `serve` use. They accept all others as well, because they share its environment.
const SETTINGS_OF_COMMANDS: [&str; 6] =
    ["data-dir", "database-url", "database-connections", "database-timeout", "log-format", "log-level"];
/// Further settings that `adopt` and `doctor` use.
const SETTINGS_OF_STORAGE: [&str; 5] = ["s3-bucket", "s3-create-bucket", "s3-endpoint-url", "s3-embedded-port", "s3-timeout"];

/// Makes `-h` of a command leave out the settings that it does not use. `--help` shows all that it accepts.
fn shorten_help(definition: clap::Command) -> clap::Command {
    ["adopt", "migrate", "doctor", "create-admin", "set-password"].into_iter().fold(definition, |definition, name| {
        let is_used = move |setting: &str| {
            SETTINGS_OF_COMMANDS.contains(&setting)
                || ["adopt", "doctor"].contains(&name) && SETTINGS_OF_STORAGE.contains(&setting)
        };
        let shorten = move |argument: clap::Arg| {
            let is_setting = argument.get_env().is_some();
            let hidden = is_setting && !argument.get_long().is_some_and(is_used);
            argument.hide_short_help(hidden)
        };
        definition.mut_subcommand(name, |command| command.mut_args(shorten))
    })
}

/// Adds a tip to the error of a setting without a command, such as `image-service --port 9000`.
fn name_missing_command(error: &mut clap::Error, definition: &clap::Command, arguments: &[OsString]) {
    let Some(ContextValue::String(flag)) =
        error.get(ContextKind::InvalidArg).filter(|_| error.kind() == ErrorKind::UnknownArgument)
    else {
        return;
    };
    let is_first = arguments.get(1).is_some_and(|first| first.to_string_lossy().split('=').next() == Some(flag));
    let mut settings = definition.find_subcommand("serve").into_iter().flat_map(clap::Command::get_arguments);
    if is_first && settings.any(|setting| setting.get_long() == flag.strip_prefix("--")) {
        let tip = format!("settings follow the command: 'image-service serve {flag}'");
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![tip.into()]));
    }
}

async fn execute(command: Command) -> Result<ExitCode, Box<dyn Error>> {
    match command {
        Command::Serve(config) => serve(*config).await?,
        Command::Migrate(config) => {
            let config = config.validate()?;
            start_log(&config)?;
            app::migrate(config).await?;
            print("the schema is up to date\n")?;
        }
        Command::Openapi => print(&yaml::to_yaml(&openapi::document())?)?,
        Command::Adopt(arguments) => return adopt::run(*arguments).await,
        Command::Doctor(doctor) => {
            let config = doctor.config.validate()?;
            start_log(&config)?;
            let report =
                app::doctor(config, Arc::new(SystemClock), Fix { rest: doctor.fix, originals: doctor.remove_originals }).await?;
            print(&report.to_string())?;
            return Ok(if report.is_healthy() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::CreateAdmin(admin) => {
            let config = admin.config.validate()?;
            start_log(&config)?;
            let password = read_password()?;
            let (account, database) =
                app::create_admin(config, Arc::new(SystemClock), admin.email, password, admin.user_id).await?;
            let Account { email, id, user_id, .. } = account;
            print(&format!("created the administrator {email}: account {id}, user_id {user_id}\n{database}\n"))?;
        }
        Command::SetPassword(set) => {
            let config = set.config.validate()?;
            start_log(&config)?;
            let password = read_password()?;
            let database = app::set_password(config, Arc::new(SystemClock), set.email.clone(), password).await?;
            print(&format!("changed the password of {} and ended its sessions\n{database}\n", set.email))?;
        }
        Command::Healthcheck { host, port, admin_port } => {
            crate::http::maintenance::health::probe(host, admin_port.unwrap_or(port)).await?
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: Config) -> Result<(), Box<dyn Error>> {
    let config = config.validate()?;
    start_log(&config)?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut stop_signal = pin!(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    });
    let running = tokio::select! {
        running = app::start(config, Arc::new(SystemClock)) => running?,
        // Startup may wait for a database; it can be interrupted at any point and repeated.
        () = &mut stop_signal => return Ok(()),
    };
    let mut addresses = format!("listening on http://{}\n", running.address);
    if let Some(address) = running.admin_address {
        addresses += &format!("health on http://{address}\n");
    }
    if let Some(address) = running.s3_address {
        addresses += &format!("storage on http://{address}\n");
    }
    // The reader of standard output may be gone; the service still runs.
    if let Err(error) = print(&addresses) {
        tracing::warn!("the addresses could not be printed: {error}");
    }
    stop_signal.await;
    tracing::info!("shutting down: accepting no new requests and waiting for those in flight");
    match running.shut_down().await {
        Ok(()) => tracing::info!("stopped"),
        Err(error) => tracing::warn!("shut down with an error: {}", chain(&error)),
    }
    Ok(())
}

/// Prompts for a password twice on a terminal; otherwise reads the first line of standard input. It is never an argument, which
/// other users of the machine could see.
fn read_password() -> Result<Password, Box<dyn Error>> {
    let text = if std::io::stdin().is_terminal() {
        let text = rpassword::prompt_password("Password: ")?;
        if rpassword::prompt_password("Repeat the password: ")? != text {
            return Err("the passwords do not match".into());
        }
        text
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line)?;
        line.trim_end_matches(['\r', '\n']).to_owned()
    };
    Password::parse(&text).map_err(|rule| format!("the password {rule}").into())
}

/// Starts logging to standard error; standard output is for the output of commands.
fn start_log(config: &Config) -> Result<(), Box<dyn Error>> {
    // s3s logs failed requests of the embedded server's clients as its own errors; the server logs its own faults.
    let mut directives = "s3s=off".to_owned();
    // The service has one sentence for missing credentials; the SDK adds a dump of its structures.
    if ["warn", "info"].contains(&config.log_level.to_ascii_lowercase().as_str()) {
        directives += ",aws_config=error";
    }
    let filter = tracing_subscriber::EnvFilter::try_new(format!("{directives},{}", config.log_level))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // Otherwise tracing reports to standard error that standard error is not writable, and panics: with a full disk, that aborted
    // requests.
    let builder = builder.log_internal_errors(false);
    match config.log_format {
        LogFormat::Text => builder.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => builder.json().flatten_event(true).init(),
    }
    Ok(())
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// Makes the first letter lower-case, because the messages for API clients are whole sentences. Names such as `DATA_DIR` stay
/// unchanged.
fn as_clause(text: String) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if !second.is_uppercase() => first.to_lowercase().chain(text.chars().skip(1)).collect(),
        _ => text,
    }
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        // A transparent error has the same message as its source.
        let next = error.to_string();
        if !text.ends_with(&next) {
            text = format!("{}: {next}", text.trim_end_matches('.'));
        }
        cause = error.source();
    }
    text
}
