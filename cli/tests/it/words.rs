//! What the program says of itself, and how it takes a wrong command line.

use crate::support::{Done, Folder, program, run};

fn said(arguments: &[&str]) -> Done {
    run(program(&[], arguments), "")
}

#[test]
fn help_has_examples_and_explains_codes_and_variables() {
    let help = said(&["--help"]).good();
    for part in [
        "serve",
        "replay",
        "doctor",
        "Exit codes:",
        "GATEWAY_URL",
        "ADMIN_TOKEN",
        "Examples:",
        "--json",
        "--url",
        "--token",
    ] {
        assert!(help.contains(part), "{part}: {help}");
    }
    for command in
        [&["keys", "issue"][..], &["accounts", "add"], &["accounts", "import"], &["requests"], &["stats"], &["replay"]]
    {
        let help = said(&[command, &["--help"]].concat()).good();
        assert!(help.contains("Examples:\n  llm-gateway "), "{command:?}: {help}");
    }
    let longest = help.lines().map(|line| line.chars().count()).max();
    assert!(longest <= Some(130), "{longest:?}: {help}");
}

#[test]
fn the_version_tells_schema_and_commit() {
    let version = said(&["--version"]).good();
    let expect =
        format!("llm-gateway {} (schema {}, commit ", env!("CARGO_PKG_VERSION"), gateway::store::LATEST_SCHEMA);
    assert!(version.starts_with(&expect), "{version}");
}

#[test]
fn each_shell_gets_its_completions() {
    for (shell, part) in [("bash", "complete -F"), ("zsh", "#compdef llm-gateway"), ("fish", "complete -c llm-gateway")]
    {
        let script = said(&["completions", shell]).good();
        assert!(script.contains(part) && script.contains("rotate") && script.contains("doctor"), "{shell}");
    }
    let folder = Folder::new();
    let script = folder.write("llm-gateway.bash", &said(&["completions", "bash"]).good());
    let asked = format!(
        "source {script}; COMP_WORDS=(llm-gateway acc) COMP_CWORD=1; _llm__gateway llm-gateway acc llm-gateway; echo ${{COMPREPLY[@]}}"
    );
    let mut bash = std::process::Command::new("bash");
    bash.args(["--norc", "-c", &asked]);
    assert_eq!(run(bash, "").good().trim(), "accounts");
}

#[test]
fn a_wrong_command_line_is_code_2_and_says_what_was_meant() {
    for (arguments, part) in [
        (&["key"][..], "'keys'"),
        (&[][..], "Usage:"),
        (&["keys", "issue"], "<NAME>"),
        (&["keys", "issue", "x", "--cost-per-day", "much"], "must be a number"),
        (&["keys", "rotate", "x", "--grace", "soon"], "length of time"),
        (&["requests", "--csv", "--json"], "cannot be used with"),
        (&["completions", "tcsh"], "possible values"),
    ] {
        let said = said(arguments).bad(2);
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
}

/// Of the gateway: none that runs, no token, a URL that is none; each with its code and what to do.
#[test]
fn what_keeps_a_command_from_working_is_said() {
    let folder = Folder::new();
    let told = |variables: &[(&str, &str)], arguments: &[&str], code: i32| {
        let mut command = program(variables, arguments);
        command.current_dir(&folder.0);
        run(command, "").bad(code)
    };
    let said = told(&[], &["keys", "list"], 4);
    assert!(said.contains("GATEWAY_TOKEN or ADMIN_TOKEN") && said.contains(".data/"), "{said}");
    let said = told(&[("ADMIN_TOKEN", "x"), ("PORT", "1")], &["keys", "list"], 3);
    assert!(said.contains("http://127.0.0.1:1/") && said.contains("`llm-gateway serve` starts it"), "{said}");
    let said = told(&[("PORT", "0"), ("ADMIN_TOKEN", "x")], &["keys", "list"], 1);
    assert!(said.contains("--url"), "{said}");
    for url in
        ["your-gateway.example", "ftp://gateway.example", "https://user:pw@gateway.example", "https://g.example/?x=1"]
    {
        let said = told(&[("ADMIN_TOKEN", "x")], &["keys", "list", "--url", url], 1);
        assert!(said.contains("the gateway's URL"), "{url}: {said}");
    }
    let said = told(&[("ADMIN_TOKEN", "x")], &["stats", "--url", "http://127.0.0.1:1"], 3);
    assert!(said.contains("cannot be reached"), "{said}");
}

/// Whoever takes `--token` for the secret itself is told, and the secret is not repeated.
#[test]
fn a_token_as_an_argument_is_refused_and_not_echoed() {
    let said = said(&["keys", "list", "--token", "hunter2-hunter2-hunter2-hunter2-hunter2"]).bad(1);
    assert!(said.contains("file of the token") && !said.contains("hunter2"), "{said}");
}
