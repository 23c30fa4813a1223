//! The command line: every command, what all of them share, and the help that is printed.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

use crate::{
    accounts::Accounts,
    keys::Keys,
    out::{remark, say},
    replay::Replay,
    requests::Requests,
    stats::Stats,
    version::VERSION,
};

const AFTER_HELP: &str = "\
Which gateway: --url, else GATEWAY_URL, else the one that runs here (HOST and PORT, as `serve` takes them).
As whom:       --token FILE, else GATEWAY_TOKEN, else ADMIN_TOKEN, else, for the one that runs here, .data/admin-token.
               A key with the role `viewer` may read. A secret is never an argument: other users see those.

Examples:
  llm-gateway serve
  llm-gateway doctor
  llm-gateway accounts add team-1 --provider anthropic --credential-file - < key.txt
  llm-gateway keys issue maya-laptop --cost-per-month 200
  llm-gateway stats --from 7d --url https://your-gateway.example
  llm-gateway requests --status failed --from today --json | jq '.[].error'

Exit codes: 0 done · 1 refused, or `doctor` found a fault · 2 the command line is wrong · 3 the gateway or the database
cannot be reached · 4 the token is missing or may not do this · 5 there is no such thing

Every other setting is an environment variable; .env.example lists them.
";

/// One URL and one key in front of many Claude Code and Gemini CLI accounts
#[derive(Parser)]
#[command(name = "llm-gateway", version = VERSION.as_str(), after_help = AFTER_HELP, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) shared: Shared,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args)]
pub(crate) struct Shared {
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// The gateway to look after
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// The file that holds the token; `-` reads standard input
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) token: Option<PathBuf>,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Serve the gateway and its dashboard (`PORT`, `HOST`, `PUBLIC_DIR`)
    Serve,
    /// Bring the schema of `DATABASE_URL` up to date
    Migrate,
    /// Ask the server that runs here whether it is well; for a container that holds no other program
    Health,
    /// Issue, list, change, rotate and revoke API keys
    #[command(subcommand)]
    Keys(Keys),
    /// Add, import, list, check, change, pause and remove accounts
    #[command(subcommand)]
    Accounts(Accounts),
    /// What was used and what it cost
    Stats(Stats),
    /// Single requests: the ledger, row by row
    Requests(Requests),
    Replay(Replay),
    /// Seal every credential with `ENCRYPTION_KEY`, those of `ENCRYPTION_KEY_PREVIOUS` too
    ///
    /// It may be broken off and repeated; the gateway goes on serving meanwhile.
    RotateEncryption,
    /// Look for what is wrong, and say how to mend it
    ///
    /// Checks the configuration, the database (version, schema, clock, latency), the port, the files under .data/ and each
    /// account, from the environment that `serve` would have; no server needs to run. With --url it checks a gateway
    /// elsewhere by what it answers. Nothing is changed, but for what checks teach of accounts.
    Doctor,
    /// Print the completions of a shell, to be sourced by it
    #[command(
        after_help = "Examples:\n  llm-gateway completions bash > ~/.local/share/bash-completion/completions/llm-gateway\n  \
                            llm-gateway completions zsh > ~/.zfunc/_llm-gateway\n  \
                            llm-gateway completions fish > ~/.config/fish/completions/llm-gateway.fish"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// The command line of this process; where it asks for help or is wrong, that has been said, and the code is the rest.
pub(crate) fn read() -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|told| {
        let text = told.render().to_string();
        if told.use_stderr() {
            remark_lines(&text);
        } else if say(&text).is_err() {
            return ExitCode::FAILURE;
        }
        ExitCode::from(u8::try_from(told.exit_code()).unwrap_or(2))
    })
}

fn remark_lines(text: &str) {
    text.trim_end().lines().for_each(remark);
}

/// The script that a shell sources.
pub(crate) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "llm-gateway", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    /// No option takes a secret: each that is about one says FILE.
    #[test]
    fn no_argument_is_a_secret() {
        let mut commands = vec![Arguments::command()];
        while let Some(command) = commands.pop() {
            for argument in command.get_arguments() {
                let id = argument.get_id().as_str();
                let secrets = ["token", "credential", "secret", "password"];
                let about_a_secret = id.split('_').any(|word| secrets.contains(&word));
                let takes_a_file =
                    argument.get_value_names().is_some_and(|names| names.iter().all(|name| name == "FILE"));
                assert!(!about_a_secret || takes_a_file, "{} {id}", command.get_name());
            }
            commands.extend(command.get_subcommands().cloned());
        }
    }
}
