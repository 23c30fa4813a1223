//! Takes an answer of Code Assist out of its wrapper as it arrives, so that whoever reads on sees the public API's form.

use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};

use crate::protocol::{
    Api, Demand, Form, Operation,
    decode::{Decoder, State},
    peek::Scanner,
    sse::Splitter,
};

/// Members that stand beside the answer and are none of the public API's.
const BESIDE: [&str; 3] = ["traceId", "consumedCredits", "remainingCredits"];

/// The longest answer in one piece; it goes out when it is whole.
const LONGEST: usize = 64 << 20;

/// The state between two pieces of an answer.
pub(crate) struct Unwrap {
    decoder: Decoder,
    form: Form,
    shape: Shape,
}

enum Shape {
    /// One object.
    Whole { held: Vec<u8>, wrapped: bool },
    /// Events; `begun`: one has gone out.
    Events { splitter: Splitter, begun: bool },
}

impl Unwrap {
    /// For the answer of an upstream that speaks `own`; `None` where it passes as it is: nothing was wrapped, or nothing
    /// in it is. What the headers say of the bytes' length and coding will not hold any more and is taken out.
    pub(crate) fn new(own: Api, demand: &Demand, status: StatusCode, headers: &mut HeaderMap) -> Option<Self> {
        let was_wrapped = own == Api::CodeAssist && demand.api != own && demand.operation == Operation::Generate;
        let wrapped = status.is_success();
        // An error is not wrapped; only a stream in the form of an array has it in an array, which Code Assist has not.
        if !was_wrapped || !(wrapped || demand.form == Form::JsonArray) {
            return None;
        }
        let coding = headers.remove(CONTENT_ENCODING);
        headers.remove(CONTENT_LENGTH);
        if demand.form == Form::JsonArray {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json; charset=UTF-8"));
        }
        let shape = match demand.form {
            Form::Sse | Form::JsonArray if wrapped => Shape::Events { splitter: Splitter::default(), begun: false },
            _ => Shape::Whole { held: Vec::new(), wrapped },
        };
        let decoder = Decoder::new(coding.as_ref().and_then(|value| value.to_str().ok()));
        Some(Self { decoder, form: demand.form, shape })
    }

    /// Reads on, and adds to `out` what that makes known. The error says why nothing more can come.
    pub(crate) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        let Self { decoder, form, shape } = self;
        let mut too_long = false;
        decoder.push(bytes, &mut |plain| match shape {
            Shape::Whole { held, .. } => {
                too_long |= held.len() + plain.len() > LONGEST;
                if !too_long {
                    held.extend_from_slice(plain);
                }
            }
            Shape::Events { splitter, begun } => {
                splitter.push(plain, &mut |event| {
                    if let Some(json) = inner(event.data) {
                        write(*form, std::mem::replace(begun, true), json, out);
                    }
                });
                too_long |= splitter.has_passed_over();
            }
        });
        match (decoder.state(), too_long) {
            (State::Reading, false) => Ok(()),
            (State::Reading, true) => Err("the upstream's answer is too long to be taken out of its wrapper"),
            _ => Err("the upstream's answer has a coding that cannot be undone"),
        }
    }

    /// The upstream has ended its answer well: adds what is left to say. An event without its end is no event.
    pub(crate) fn end(&mut self, out: &mut Vec<u8>) {
        let array = self.form == Form::JsonArray;
        match &mut self.shape {
            Shape::Whole { held, wrapped } => {
                let held = std::mem::take(held);
                let json = inner(&held).filter(|_| *wrapped).unwrap_or(&held);
                let in_brackets = array && !json.trim_ascii_start().starts_with(b"[");
                out.extend(in_brackets.then_some(b'['));
                out.extend_from_slice(json);
                out.extend(in_brackets.then_some(b']'));
            }
            Shape::Events { splitter, begun } => {
                out.extend((array && *begun && splitter.between_events()).then_some(b']'));
            }
        }
    }
}

/// An event in the form that the caller asked for.
fn write(form: Form, begun: bool, json: &[u8], out: &mut Vec<u8>) {
    let (before, after): (&[u8], &[u8]) = match form {
        Form::JsonArray if begun => (b",\r\n", b""),
        Form::JsonArray => (b"[", b""),
        Form::Json | Form::Sse => (b"data: ", b"\r\n\r\n"),
    };
    out.reserve(before.len() + json.len() + after.len());
    out.extend_from_slice(before);
    // Data may come in several lines; in JSON a line ends between tokens only, where a space says the same.
    out.extend(json.iter().map(|byte| if *byte == b'\n' { b' ' } else { *byte }));
    out.extend_from_slice(after);
}

/// The answer in its wrapper; an error, and whatever else is no wrapper, as it is. `None` where there is only what stands
/// beside an answer.
fn inner(data: &[u8]) -> Option<&[u8]> {
    let (mut response, mut is_wrapper) = (None, true);
    let scanned = Scanner::run(data, |json| {
        is_wrapper = json.object(|json, key| {
            let span = json.value()?;
            match key {
                "response" => response = Some(span),
                key => is_wrapper &= BESIDE.contains(&key),
            }
            Ok(())
        })? && is_wrapper;
        Ok(())
    });
    match (scanned, response) {
        (Ok(_), Some(span)) if data[span.clone()].starts_with(b"{") => Some(&data[span]),
        (Ok(_), _) if is_wrapper => None,
        _ => Some(data),
    }
}

#[cfg(test)]
mod tests;
