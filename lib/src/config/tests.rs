//! Settings that cannot be worked with are refused, by name.

use super::*;

const KEY: &str = "b3BlbiBzZXNhbWUgb3BlbiBzZXNhbWUgMTIzNDU2Nzg=";

fn complete() -> Environment {
    Environment::from([
        ("DATABASE_URL", "postgres://db/gateway".to_owned()),
        ("ADMIN_TOKEN", "0123456789abcdef0123456789abcdef".to_owned()),
        ("ENCRYPTION_KEY", KEY.to_owned()),
    ])
}

fn refused(change: (&str, &str)) -> String {
    let mut env = complete();
    env.set(change.0, change.1);
    Config::read(&env).unwrap_err().message.into_owned()
}

#[test]
fn what_is_missing_is_all_named_at_once() {
    let message = Config::read(&Environment::from([])).unwrap_err().message;
    for name in ["DATABASE_URL", "ADMIN_TOKEN", "ENCRYPTION_KEY"] {
        assert!(message.contains(name), "{message}");
    }
}

#[test]
fn bad_values_are_refused_by_name() {
    assert!(refused(("DATABASE_URL", "postgresql://user:password@host/database")).starts_with("DATABASE_URL"));
    assert!(refused(("ADMIN_TOKEN", "short")).starts_with("ADMIN_TOKEN"));
    assert!(refused(("ADMIN_TOKEN", &"x".repeat(40))).starts_with("ADMIN_TOKEN"));
    for sample in [
        "your-admin-token-0123456789abcdefgh",
        "CHANGE-ME-0123456789abcdefghijklmn",
        "<openssl rand -hex 32 | 0123456>",
    ] {
        assert!(refused(("ADMIN_TOKEN", sample)).starts_with("ADMIN_TOKEN"), "{sample}");
    }
    assert!(refused(("ENCRYPTION_KEY", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")).contains("sample"));
    assert!(refused(("ENCRYPTION_KEY", "dG9vIHNob3J0")).contains("32 bytes"));
    for url in ["gateway.example.com", "ftp://x", "https://x/?a", "https://u@x", "https://"] {
        assert!(refused(("PUBLIC_URL", url)).starts_with("PUBLIC_URL"), "{url}");
    }
    assert!(refused(("MAX_BODY_BYTES", "many")).starts_with("MAX_BODY_BYTES"));
    for wrong in ["chat.example.com", "https://chat.example.com/", "https://a.example,null", "HTTPS://A.EXAMPLE"] {
        assert!(refused(("CORS_ORIGINS", wrong)).starts_with("CORS_ORIGINS"), "{wrong}");
    }
    assert!(refused(("TRUSTED_PROXIES", "10.0.0.0/8, 10.0.0.1/8")).starts_with("TRUSTED_PROXIES"));
    for days in ["soon", "-1", "36501"] {
        assert!(refused(("LEDGER_RETENTION_DAYS", days)).starts_with("LEDGER_RETENTION_DAYS"));
    }
    assert!(refused(("PASSTHROUGH_PATHS", "/v1/[")).starts_with("PASSTHROUGH_PATHS"));
    for url in ["not a url", "http://token.example.com", "file:///etc/passwd"] {
        for name in ["GEMINI_OAUTH_TOKEN_URL", "ANTHROPIC_UPSTREAM", "GEMINI_UPSTREAM", "CODE_ASSIST_UPSTREAM"] {
            assert!(refused((name, url)).starts_with(name), "{name} {url}");
        }
    }
    assert!(refused(("GEMINI_UPSTREAM", "https://api.example.com/?key=x")).starts_with("GEMINI_UPSTREAM"));
}

#[test]
fn the_own_address_is_told_by_the_operator_or_the_platform() {
    let url = |variables: &[(&str, &str)]| {
        let mut env = complete();
        variables.iter().for_each(|(name, value)| env.set(name, value));
        Config::read(&env).unwrap().public_url.unwrap_or_default()
    };
    let platform = [("VERCEL_URL", "x-1.vercel.app"), ("VERCEL_PROJECT_PRODUCTION_URL", "gw.example.com")];
    assert_eq!(url(&platform), "", "without VERCEL these mean nothing");
    assert_eq!(url(&[platform[0], platform[1], ("VERCEL", "1")]), "https://x-1.vercel.app");
    let production = [platform[0], platform[1], ("VERCEL", "1"), ("VERCEL_ENV", "production")];
    assert_eq!(url(&production), "https://gw.example.com");
    assert_eq!(url(&[&production[..], &[("PUBLIC_URL", "http://10.0.0.1:80/gw/")]].concat()), "http://10.0.0.1/gw");
}

#[test]
fn an_empty_value_is_none() {
    let mut env = complete();
    env.set("DATABASE_URL", "");
    env.set("POSTGRES_URL", "postgres://other/gateway");
    assert_eq!(Config::read(&env).unwrap().database_url.expose(), "postgres://other/gateway");
}

#[test]
fn the_defaults_hold() {
    let config = Config::read(&complete()).unwrap();
    assert_eq!(config.max_body_bytes, 33_554_432);
    assert_eq!(config.ledger_retention_days, Some(90));
    assert_eq!(config.migration_url, config.database_url);
    assert!(!config.allow_insecure_upstreams);
    assert_eq!(config.anthropic_oauth.token_url.as_str(), "https://platform.claude.com/v1/oauth/token");
    assert_eq!(config.gemini_oauth.token_url.as_str(), "https://oauth2.googleapis.com/token");
    assert_eq!(config.gemini_oauth.id, None);
    assert_eq!(config.upstreams.anthropic.as_str(), "https://api.anthropic.com/");
    assert_eq!(config.upstreams.gemini.as_str(), "https://generativelanguage.googleapis.com/");
    assert_eq!(config.upstreams.code_assist.as_str(), "https://cloudcode-pa.googleapis.com/");
}
