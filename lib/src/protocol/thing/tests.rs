//! Which calls are about things.

use super::*;

fn check(provider: Provider, line: &str, expect: Option<&Place>) {
    let (method, target) = line.split_once(' ').unwrap();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let segments: Vec<_> = path.split('/').skip(1).collect();
    assert_eq!(place(provider, &method.parse().unwrap(), &segments, query).as_ref(), expect, "{line}");
}

#[test]
fn anthropics_calls() {
    let batch = || Thing::new(Kind::Batch, "msgbatch_1");
    let file = || Thing::new(Kind::File, "file_1");
    for (line, expect) in [
        ("POST /v1/messages/batches", Some(Some(Act::Make(Kind::Batch)))),
        ("GET /v1/messages/batches?limit=2", Some(Some(Act::List(Kind::Batch)))),
        ("DELETE /v1/messages/batches", Some(None)),
        ("GET /v1/messages/batches/msgbatch_1", Some(Some(Act::Describe(batch())))),
        ("POST /v1/messages/batches/msgbatch_1", Some(None)),
        ("DELETE /v1/messages/batches/msgbatch_1", Some(Some(Act::Remove(batch())))),
        ("POST /v1/messages/batches/msgbatch_1/cancel", Some(Some(Act::Describe(batch())))),
        ("GET /v1/messages/batches/msgbatch_1/results", Some(Some(Act::Results(batch())))),
        ("GET /v1/messages/batches/msgbatch_1/results/x", None),
        ("GET /v1/messages/batches/", None),
        ("POST /v1/files", Some(Some(Act::Make(Kind::File)))),
        ("GET /v1/files", Some(Some(Act::List(Kind::File)))),
        ("GET /v1/files/file_1", Some(Some(Act::Describe(file())))),
        ("GET /v1/files/file_1/content", Some(Some(Act::Fetch(file())))),
        ("PUT /v1/files/file_1/content", Some(None)),
        ("DELETE /v1/files/file_1", Some(Some(Act::Remove(file())))),
        ("POST /v1/messages", None),
        ("POST /v1/messages/count_tokens", None),
        ("GET /v1beta/files", None),
    ] {
        check(Provider::Anthropic, line, expect.as_ref());
    }
}

#[test]
fn geminis_calls() {
    let file = || Thing::new(Kind::File, "files/a-1");
    let cache = || Thing::new(Kind::Cache, "cachedContents/c");
    let batch = || Thing::new(Kind::Batch, "batches/b");
    let upload = || Thing::upload("secret");
    for (line, expect) in [
        ("POST /upload/v1beta/files", Some(Some(Act::Make(Kind::File)))),
        ("POST /upload/v1beta/files?upload_id=secret&x=1", Some(Some(Act::Describe(upload())))),
        ("PUT /upload/v1/files?upload_id=secret", Some(Some(Act::Describe(upload())))),
        ("GET /upload/v1beta/files", Some(None)),
        ("POST /upload/v1beta/fileSearchStores/x", None),
        ("GET /v1beta/files", Some(Some(Act::List(Kind::File)))),
        ("POST /v1beta/files", Some(None)),
        ("POST /v1beta/files:register", None),
        ("GET /v1/files/a-1", Some(Some(Act::Describe(file())))),
        ("GET /v1/files/a-1:download?alt=media", Some(Some(Act::Fetch(file())))),
        ("DELETE /v1alpha/files/a-1", Some(Some(Act::Remove(file())))),
        ("POST /v1beta/cachedContents", Some(Some(Act::Make(Kind::Cache)))),
        ("PATCH /v1beta/cachedContents/c?updateMask=ttl", Some(Some(Act::Describe(cache())))),
        ("POST /v1beta/cachedContents/c:other", None),
        ("GET /v1beta/batches", Some(Some(Act::List(Kind::Batch)))),
        ("GET /v1beta/batches/b", Some(Some(Act::Describe(batch())))),
        ("POST /v1beta/batches/b:cancel", Some(Some(Act::Describe(batch())))),
        ("DELETE /v1beta/batches/b", Some(Some(Act::Remove(batch())))),
        ("POST /v1beta/models/m:batchGenerateContent", Some(Some(Act::Make(Kind::Batch)))),
        ("GET /v1beta/models/m:asyncBatchEmbedContent", Some(None)),
        ("POST /v1beta/models/m:generateContent", None),
    ] {
        check(Provider::Gemini, line, expect.as_ref());
    }
    assert!(!upload().name.contains("secret"), "an upload's own name is not kept");
}
