//! The fake as a process: one line, then it serves until SIGTERM.

use std::{
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use crate::client::request;
use serde_json::Value;

#[tokio::test]
async fn it_says_where_it_listens_and_ends_on_sigterm() {
    let mut process = Command::new(env!("CARGO_BIN_EXE_fake-upstream"))
        .args(["--port", "0"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("fake-upstream listening on http://").unwrap().parse().unwrap();
    let got = request(address, "HEAD", "/api/hello", None, &Value::Null).await.unwrap();
    assert_eq!(got.status, 200);

    let terminated = Command::new("kill").args(["-TERM", &process.id().to_string()]).status().unwrap();
    assert!(terminated.success());
    assert!(process.wait().unwrap().success());
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!(rest, "", "exactly one line");
}

#[test]
fn a_wrong_argument_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_fake-upstream")).arg("--prot").output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8(output.stderr).unwrap().contains("unknown argument --prot"));
}
