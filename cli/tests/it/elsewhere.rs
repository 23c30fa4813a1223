//! A gateway that runs elsewhere: `--url` and `--token`, and what `doctor` can tell of it.

use serde_json::Value;

use crate::support::{ADMIN_TOKEN, Database, Folder, Site, program, run, settings};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_and_its_token_are_named_in_several_ways() {
    let site = Site::start().await;
    site.key("maya");
    let folder = Folder::new();
    let (host, port) = site.url.strip_prefix("http://").unwrap().rsplit_once(':').unwrap();
    let file = folder.write("token", &format!("{ADMIN_TOKEN}\n"));
    folder.write(".data/admin-token", &format!("{ADMIN_TOKEN}\n"));
    let list = |variables: &[(&str, &str)], more: &[&str], input: &str| {
        let mut command = program(variables, &[&["keys", "list"], more].concat());
        command.current_dir(&folder.0);
        run(command, input)
    };
    let here = [("HOST", host), ("PORT", port)];
    for (variables, more, input) in [
        (&[][..], &["--url", &*site.url, "--token", &file][..], ""),
        (&[], &["--url", &site.url, "--token", "-"], ADMIN_TOKEN),
        (&[("GATEWAY_URL", &*site.url), ("GATEWAY_TOKEN", ADMIN_TOKEN), ("ADMIN_TOKEN", "another")], &[], ""),
        (&[("GATEWAY_URL", "http://127.0.0.1:1"), ("ADMIN_TOKEN", ADMIN_TOKEN)], &["--url", &site.url], ""),
        // The one that runs here, with the token that was made for it.
        (&here, &[], ""),
        (&[("HOST", "0.0.0.0"), ("PORT", port)], &[], ""),
    ] {
        assert!(list(variables, more, input).good().contains("maya"), "{variables:?} {more:?}");
    }
    // That token is for the gateway that runs here, and goes to no other.
    assert!(list(&[], &["--url", &site.url], "").bad(4).contains("no token"));
    assert!(list(&[("ADMIN_TOKEN", "wrong")], &["--url", &site.url], "").bad(4).contains("not valid"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_may_read_and_change_nothing() {
    let site = Site::start().await;
    let secret = site.run(&["keys", "issue", "viewer", "--role", "viewer"]).good();
    let viewer = |arguments: &[&str]| {
        run(program(&[("GATEWAY_URL", &site.url), ("GATEWAY_TOKEN", secret.trim())], arguments), "")
    };
    assert!(viewer(&["keys", "list"]).good().contains("viewer"));
    viewer(&["stats"]).good();
    viewer(&["keys", "issue", "x"]).bad(4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_doctor_tells_what_it_can_from_afar() {
    let site = Site::start().await;
    site.account("team-1", "sk-ant-one-0123456789");
    site.key("maya");
    let told = site.run(&["doctor"]).good();
    for part in ["is healthy", "agree on the time", "team-1 (acc_", "nothing is wrong"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    let examined = |variables: &[(&str, &str)]| -> (i32, Value) {
        let done = run(program(variables, &["doctor", "--json"]), "");
        (done.code, serde_json::from_str(&done.out).unwrap())
    };
    let fault = |(code, told): (i32, Value), found: &str, cure: &str| {
        assert_eq!(code, 1, "{told}");
        let faults: Vec<_> =
            told["findings"].as_array().unwrap().iter().filter(|one| one["grade"] == "fault").collect();
        let [fault] = faults.as_slice() else { panic!("{told:#}") };
        assert!(fault["found"].as_str().unwrap().contains(found), "{fault}");
        assert!(fault["cure"].as_str().unwrap().contains(cure), "{fault}");
    };
    let wrong_token = examined(&[("GATEWAY_URL", &site.url), ("ADMIN_TOKEN", "wrong")]);
    fault(wrong_token, "not valid", "ADMIN_TOKEN that the gateway runs with");
    fault(
        examined(&[("GATEWAY_URL", "http://127.0.0.1:1"), ("ADMIN_TOKEN", "x")]),
        "cannot be reached",
        "Check the URL",
    );
    fault(examined(&[("GATEWAY_URL", &site.fake.url()), ("ADMIN_TOKEN", "x")]), "gateway", "Check the URL");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_not_set_up_says_so_from_afar() {
    let database = Database::create().await;
    let mut variables = settings(&database.url);
    variables.retain(|(name, _)| *name != "ENCRYPTION_KEY");
    let variables: Vec<_> = variables.iter().map(|(name, value)| (*name, &**value)).collect();
    let (url, mut server) = crate::support::serve(&variables);
    let done = run(program(&[("GATEWAY_URL", &url), ("ADMIN_TOKEN", ADMIN_TOKEN)], &["doctor"]), "");
    assert_eq!(done.code, 1);
    assert!(done.out.contains("not set up") && done.out.contains("ENCRYPTION_KEY"), "{}", done.out);
    server.kill().unwrap();
    server.wait().unwrap();
}
