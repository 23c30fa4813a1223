//! The rules of the house, where the compiler does not keep them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// The rooms from the street inwards. A room is used by those before it and uses those after it; rooms of one step do not
/// know each other, but for what is named with them.
const STAIRCASE: [&[&str]; 9] = [
    &["host"],
    &["routes"],
    &["relay"],
    &["gateway"],
    &["store", "upstream", "windows"],
    &["pool"],
    &["access", "ledger"],
    &["protocol"],
    &BASE,
];

/// The ground that every room stands on, and may use.
const BASE: [&str; 15] = [
    "address",
    "background",
    "batch",
    "clock",
    "config",
    "credential",
    "error",
    "glob",
    "http",
    "id",
    "money",
    "random",
    "seal",
    "secret",
    "tls",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("lib/ is in the project").to_owned()
}

pub(crate) fn text(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file under these folders, by its path in the project.
pub(crate) fn rust_files(folders: &[&str]) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders: Vec<_> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder is there") {
            let path = entry.expect("a readable entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("it is in the project").to_str().expect("a plain name");
                files.insert(name.to_owned(), fs::read_to_string(&path).expect("a readable file"));
            }
        }
    }
    files
}

/// What a file does when it runs: without comments, and without its tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]").next().unwrap_or_default();
    text.lines().filter(|line| !line.trim_start().starts_with("//")).map(|line| format!("{line}\n")).collect()
}

/// The files of lib/src that hold `text` in their code.
fn holders(wanted: impl Fn(&str) -> bool) -> BTreeSet<String> {
    let files = rust_files(&["lib/src"]);
    let own = files.iter().filter(|(name, _)| !name.ends_with("tests.rs")).filter(|(_, text)| wanted(&code(text)));
    own.map(|(name, _)| name.trim_start_matches("lib/src/").to_owned()).collect()
}

#[test]
fn every_file_says_what_it_is_for_and_is_short() {
    let files = rust_files(&["lib", "api", "bench", "cli", "fake"]);
    assert!(files.len() > 80, "the files are found: {}", files.len());
    for (name, text) in files {
        let first = text.lines().next().unwrap_or_default();
        assert!(first.starts_with("//! ") && first.len() > 12, "{name} does not say what it is for");
        let lines = text.lines().count();
        assert!(lines <= 400, "{name} has {lines} lines");
    }
}

/// The rooms that a file's code names as `crate::…`, alone or in braces.
fn rooms_used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let before = code[..at].chars().next_back();
        if before.is_some_and(|c| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(list) => used.extend(outer_names(list)),
            None => used.extend(word(rest)),
        }
    }
    used
}

/// The first word of each entry of a list that ends with the brace that closes it.
fn outer_names(list: &str) -> Vec<String> {
    let (mut depth, mut names, mut entry) = (0, Vec::new(), String::new());
    for c in list.chars() {
        match c {
            '}' if depth == 0 => break,
            ',' if depth == 0 => names.extend(word(&std::mem::take(&mut entry))),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                entry.push(c);
            }
        }
    }
    names.extend(word(&entry));
    names
}

fn word(text: &str) -> Option<String> {
    let word: String = text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    // `crate::Error` and the like are the base's, by a shorter name.
    word.starts_with(char::is_lowercase).then_some(word)
}

#[test]
fn rooms_use_only_what_lies_further_in() {
    assert_eq!(
        rooms_used("use crate::{\n a::{B, c::D},\n e, f::G,\n};\nlet x = crate::h::i(); my_crate::j();"),
        ["a", "e", "f", "h"].map(str::to_owned).into()
    );
    let step = |room: &str| STAIRCASE.iter().position(|rooms| rooms.contains(&room));
    let mut seen = BTreeSet::new();
    for (name, text) in rust_files(&["lib/src"]) {
        let path = name.trim_start_matches("lib/src/");
        let room = path.split(['/', '.']).next().expect("a path has a beginning");
        if room == "lib" || path.ends_with("tests.rs") {
            continue;
        }
        let from = step(room).unwrap_or_else(|| panic!("{room} has no step on the staircase"));
        seen.insert(room.to_owned());
        for used in rooms_used(&code(&text)) {
            let to = step(&used).unwrap_or_else(|| panic!("{name} uses {used}, which has no step on the staircase"));
            let ground = BASE.contains(&room) && BASE.contains(&&*used);
            assert!(from < to || room == used || ground, "{name} uses {used}, which is not further in");
        }
    }
    let rooms: BTreeSet<_> = STAIRCASE.iter().flat_map(|rooms| rooms.iter()).map(|room| (*room).to_owned()).collect();
    assert_eq!(seen, rooms, "every room has its step, and every step its room");
}

#[test]
fn what_belongs_to_one_room_is_in_no_other() {
    let only = |what: &str, wanted: &dyn Fn(&str) -> bool, expect: &dyn Fn(&str) -> bool| {
        let found = holders(wanted);
        assert!(!found.is_empty(), "nobody holds {what}");
        let strays: Vec<_> = found.iter().filter(|name| !expect(name)).collect();
        assert!(strays.is_empty(), "{what} is in {strays:?}");
    };
    let in_store = |name: &str| name.starts_with("store/");
    let sql = |code: &str| {
        let begins = ["\"select ", "\"insert ", "\"update ", "\"delete from ", "\"create ", "\"begin", "\"with "];
        let after_a_quote = |code: &str| {
            code.split('"').any(|part| {
                let part = part.trim_start();
                ["select ", "insert into ", "update ", "delete from ", "create table "]
                    .iter()
                    .any(|begin| part.starts_with(begin))
                    && part.contains(' ')
                    && ["from ", "set ", "(", "values"].iter().any(|word| part.contains(word))
            })
        };
        begins.iter().any(|begin| code.contains(begin)) || after_a_quote(code)
    };
    only("SQL", &sql, &in_store);
    only("tokio_postgres", &|code| code.contains("tokio_postgres::") || code.contains("deadpool"), &in_store);
    only("the environment", &|code| code.contains("env::var"), &|name| name == "config.rs");
    only("the clock", &|code| code.contains("Timestamp::now") || code.contains("SystemTime::now"), &|name| {
        name == "clock.rs"
    });
    only("vercel_runtime", &|code| code.contains("vercel_runtime"), &|name| name == "host/vercel.rs");
    only("reqwest", &|code| code.contains("reqwest::"), &|name| {
        name.starts_with("upstream/") || name.starts_with("relay/") || name == "windows/rest.rs"
    });
    only("redis", &|code| code.contains("redis::{") || code.contains("redis::cmd"), &|name| name == "windows/tcp.rs");
    only("rustls", &|code| code.contains("rustls::"), &|name| name == "tls.rs" || name == "store/connect.rs");
}

#[test]
fn the_example_lists_what_is_read_and_nothing_else() {
    let files = rust_files(&["lib/src/config"]).into_iter().filter(|(name, _)| !name.ends_with("tests.rs"));
    let files: Vec<_> = files.map(|(_, text)| text).chain([text("lib/src/config.rs")]).collect();
    let config: String = files.iter().map(|text| text.split("#[cfg(test)]").next().unwrap()).collect();
    let name = |text: &&str| text.len() > 2 && text.chars().all(|c| c.is_ascii_uppercase() || c == '_');
    // Set by the platform, not by a person.
    let read: BTreeSet<_> = config.split('"').filter(name).filter(|name| !name.starts_with("VERCEL")).collect();
    let example = text(".env.example");
    let listed: Vec<_> = example
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .map(|(name, _)| name)
        .filter(name)
        .collect();
    assert_eq!(listed.iter().copied().collect::<BTreeSet<_>>(), read);
    assert_eq!(listed.len(), read.len(), "each once");
    // Each has a line above that says what it is for.
    let lines: Vec<_> = example.lines().collect();
    for pair in lines.windows(2) {
        assert!(
            !pair[1].starts_with('#') || !pair[1].contains('=') || pair[0].starts_with('#'),
            "{} is not explained",
            pair[1]
        );
    }
}

/// A12: nothing that a document shows in the place of a secret works as one.
#[test]
fn no_value_of_the_documents_is_a_secret() {
    for path in [".env.example", "README.md", "README.zh-CN.md", "ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = text(path);
        for name in ["ADMIN_TOKEN", "ENCRYPTION_KEY", "ENCRYPTION_KEY_PREVIOUS"] {
            for rest in text.split(&format!("{name}=")).skip(1) {
                let value = rest.split(|c: char| c.is_whitespace() || "`\"'&,".contains(c)).next().unwrap_or_default();
                assert!(value.len() < 32 || value.starts_with("openssl"), "{path} shows a {name}");
            }
        }
    }
}

#[test]
fn pages_have_one_security_policy() {
    let vercel: serde_json::Value = serde_json::from_str(&text("vercel.json")).unwrap();
    let headers = vercel["headers"][0]["headers"].as_array().unwrap();
    let given =
        |name: &str| headers.iter().find(|header| header["key"] == name).and_then(|header| header["value"].as_str());
    let files = text("lib/src/host/local/files.rs");
    let (_, rest) = files.split_once("CONTENT_SECURITY_POLICY: &str = \"").unwrap();
    let policy = rest.split_once("\";").unwrap().0;
    let policy: Vec<_> = policy.split('\\').map(str::trim_start).collect();
    assert_eq!(given("Content-Security-Policy").unwrap(), policy.concat());
    for (name, value) in
        [("Referrer-Policy", "no-referrer"), ("X-Frame-Options", "DENY"), ("X-Content-Type-Options", "nosniff")]
    {
        assert_eq!(given(name), Some(value));
        assert!(files.contains(&format!("\"{value}\"")), "{name}");
    }
}

/// Both say the same: as many sections, in the same order of depth, with the same commands and variables in them.
#[test]
fn the_two_readmes_keep_step() {
    let shape = |path: &str| {
        let text = text(path);
        let headings: Vec<_> =
            text.lines().filter_map(|line| line.split_once("# ").map(|(depth, _)| depth.len())).collect();
        // Comments in a block are translated; what is run is not.
        let mut blocks = text.split("```").skip(1).step_by(2).flat_map(str::lines);
        let commands: Vec<_> = blocks.by_ref().filter_map(|line| line.split(" #").next()).map(str::trim).collect();
        let commands: Vec<_> = commands.into_iter().filter(|line| !line.starts_with('#')).map(str::to_owned).collect();
        let variables: BTreeSet<_> = text
            .split('`')
            .filter(|word| word.len() > 2 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_'))
            .map(str::to_owned)
            .collect();
        (headings, commands, variables)
    };
    assert_eq!(shape("README.md"), shape("README.zh-CN.md"));
}
