//! Makes the reply to a call: the built-in answer or what a script says, its headers, encoding and end.

use std::{io::Write, time::Duration};

use bytes::Bytes;
use flate2::write::GzEncoder;
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE},
};

use crate::{
    anthropic,
    call::{Call, Dialect},
    figures::Figures,
    gemini,
    play::{Reply, Step},
    scene::Failure,
    script::{Answer, Body, Chunk, Encoding, End, Lifelike, STAMP},
    shelf::Shelf,
};

/// The reply to `call`, as `answer` says.
pub(crate) fn reply(call: &Call, answer: &Answer, shelf: &Shelf) -> Reply {
    let mut reply = match &answer.body {
        Body::Lifelike(bent) => match shelf.answer(call) {
            Some(scene) => scene.bent(bent, overloaded(call)),
            None => lifelike(call, bent),
        },
        body => scripted(call, body, answer.status),
    };
    if answer.status != 200 {
        reply.status = status(answer.status);
    }
    if answer.figures.is_some() {
        say_last(&mut reply.steps, answer.figures);
    }
    if let Some(encoding) = answer.encoding {
        encode(&mut reply, encoding);
    }
    replace(&mut reply.headers, &answer.headers);
    match answer.end {
        End::Clean => {}
        End::Reset => reply.steps.push(Step::Reset),
        End::Close => reply.steps.push(Step::Close),
        End::Hang => reply.steps.push(Step::Hang),
    }
    reply
}

fn say_last(steps: &mut [Step], figures: Option<Figures>) {
    let last = steps.iter_mut().rev().find_map(|step| match step {
        Step::Send(_, says) => Some(says),
        _ => None,
    });
    if let Some(says) = last {
        *says = figures;
    }
}

/// A number that is no status is answered as 500, so that the mistake shows.
fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

fn lifelike(call: &Call, bent: &Lifelike) -> Reply {
    let scene = match call.dialect() {
        Dialect::Anthropic => anthropic::answer(call, bent),
        Dialect::Gemini => gemini::answer(call, bent),
    };
    scene.bent(bent, overloaded(call))
}

fn overloaded(call: &Call) -> Failure {
    match call.dialect() {
        Dialect::Anthropic => anthropic::overloaded(call),
        Dialect::Gemini => gemini::overloaded(),
    }
}

fn scripted(call: &Call, body: &Body, code: u16) -> Reply {
    let (content_type, steps) = match body {
        Body::Json(value) => {
            let says = Figures::read(call.dialect(), value);
            ("application/json", vec![Step::Send(in_shape(call, "application/json", value.to_string(), code), says)])
        }
        Body::Text { content_type, text } => {
            (content_type.as_str(), vec![Step::Send(in_shape(call, content_type, text.clone(), code), None)])
        }
        Body::Chunks(chunks) => {
            let step = |chunk: &Chunk| {
                let wait = (chunk.after_ms > 0).then(|| Step::Wait(Duration::from_millis(chunk.after_ms)));
                let bytes = chunk.data.0.clone();
                let stamp = bytes.windows(STAMP.len()).position(|text| text == STAMP.as_bytes());
                let send = match stamp {
                    Some(at) => Step::Stamped(bytes, at),
                    None => Step::Send(bytes, None),
                };
                wait.into_iter().chain([send])
            };
            ("text/event-stream", chunks.iter().flat_map(step).collect())
        }
        Body::Lifelike(bent) => return lifelike(call, bent),
    };
    let mut headers = match call.dialect() {
        Dialect::Anthropic => anthropic::headers(call, status(code)),
        Dialect::Gemini => gemini::headers(call),
    };
    if let Ok(content_type) = HeaderValue::from_str(content_type) {
        headers.insert(CONTENT_TYPE, content_type);
    }
    Reply { status: status(code), headers, steps }
}

/// An error on a stream in the array form comes in an array, as Google's do.
fn in_shape(call: &Call, content_type: &str, text: String, code: u16) -> Bytes {
    let is_json_error = code >= 400 && content_type.starts_with("application/json");
    let in_array = is_json_error && call.dialect() == Dialect::Gemini && gemini::streams_an_array(call);
    if in_array { format!("[{}\n]", text.trim_end()).into() } else { text.into() }
}

/// Several of one name stand side by side; they replace those that the API sends by itself.
fn replace(headers: &mut HeaderMap, scripted: &[(String, String)]) {
    let parsed =
        |(name, value): &(String, String)| Some((HeaderName::try_from(name).ok()?, HeaderValue::try_from(value).ok()?));
    let scripted: Vec<_> = scripted.iter().filter_map(parsed).collect();
    for (name, _) in &scripted {
        headers.remove(name);
    }
    for (name, value) in scripted {
        headers.append(name, value);
    }
}

/// Compresses the pieces as one stream that is flushed after each of them.
fn encode(reply: &mut Reply, encoding: Encoding) {
    let mut encoder = Encoder::new(encoding);
    reply.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoder.name()));
    let last = reply.steps.iter().rposition(|step| matches!(step, Step::Send(..)));
    for (index, step) in reply.steps.iter_mut().enumerate() {
        if let Step::Send(bytes, _) = step {
            *bytes = encoder.encoded(bytes, Some(index) == last).expect("writing into memory does not fail");
        }
    }
}

enum Encoder {
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
}

impl Encoder {
    fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Gzip => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::fast())),
            Encoding::Zstd => {
                let encoder = zstd::stream::write::Encoder::new(Vec::new(), 1);
                Self::Zstd(encoder.expect("1 is one of the levels"))
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Gzip(_) => "gzip",
            Self::Zstd(_) => "zstd",
        }
    }

    fn encoded(&mut self, bytes: &[u8], is_last: bool) -> std::io::Result<Bytes> {
        let written = match self {
            Self::Gzip(encoder) => {
                encoder.write_all(bytes)?;
                if is_last {
                    encoder.try_finish()?
                } else {
                    encoder.flush()?
                }
                encoder.get_mut()
            }
            Self::Zstd(encoder) => {
                encoder.write_all(bytes)?;
                if is_last {
                    encoder.do_finish()?
                } else {
                    encoder.flush()?
                }
                encoder.get_mut()
            }
        };
        Ok(std::mem::take(written).into())
    }
}
