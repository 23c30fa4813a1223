//! What the README tells people to type works as it stands there.

use std::path::Path;

use crate::support::{ADMIN_TOKEN, Site, run, settings};

/// The commands of the section on the terminal.
fn commands() -> Vec<String> {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).unwrap();
    let (_, section) = readme.split_once("\n## From the terminal\n").unwrap();
    let block = section.split("```").nth(1).unwrap();
    block.lines().filter(|line| line.starts_with("llm-gateway ")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_command_of_the_readme_works() {
    let site = Site::start().await;
    // The provider's own address is none that a test may call.
    site.account("of the test", "sk-ant-one-0123456789");
    site.folder.write("key.txt", "sk-ant-two-0123456789\n");
    site.folder.write("gateway.log", "llm-gateway listening on http://127.0.0.1:13010\n");
    let commands = commands();
    assert!(commands.len() > 8, "{commands:?}");
    let folder = Path::new(env!("CARGO_BIN_EXE_llm-gateway")).parent().unwrap();
    for command in commands {
        let mut bash = std::process::Command::new("bash");
        bash.args(["--norc", "-e", "-o", "pipefail", "-c", &command]).current_dir(&site.folder.0).env_clear();
        bash.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", folder.display()));
        bash.envs(settings(&site.database.url)).env("ADMIN_TOKEN", ADMIN_TOKEN).env("PORT", "0");
        if command != "llm-gateway doctor" {
            bash.env("GATEWAY_URL", &site.url);
        }
        run(bash, "").good();
        if command.contains("accounts add") {
            // From here on it is served by the fake.
            site.run(&["accounts", "set", "team-1", "--base-url", &site.fake.url()]).good();
        }
    }
    let file = |name: &str| std::fs::read_to_string(site.folder.0.join(name)).unwrap();
    assert!(file("maya.key").starts_with("gw_"));
    assert!(file("requests.csv").starts_with("id,started_at,"));
}
