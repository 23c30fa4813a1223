//! What `usageMetadata` says over a whole answer: of each figure the last value counts, and absence erases nothing.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Slot;
use crate::protocol::usage::{Figure, Media, Terms, Tier, Usage, string, tokens_of};

/// The figures in hand; `None` where none was said.
#[derive(Default)]
pub(super) struct Report {
    /// Contains `cached`.
    prompt: Option<u64>,
    cached: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    tool_use: Option<u64>,
    total: Option<u64>,
    prompt_media: Modalities,
    cached_media: Modalities,
    candidates_media: Modalities,
    tier: Tier,
    /// A figure was impossible.
    impossible: bool,
}

#[derive(Default, Clone, Copy)]
struct Modalities {
    audio: u64,
    image: u64,
    video: u64,
}

impl Report {
    /// Takes up one member of `usageMetadata`.
    pub(super) fn note(&mut self, slot: Slot, raw: &[u8]) {
        let place = match slot {
            Slot::Prompt => &mut self.prompt,
            Slot::Cached => &mut self.cached,
            Slot::Candidates => &mut self.candidates,
            Slot::Thoughts => &mut self.thoughts,
            Slot::ToolUse => &mut self.tool_use,
            Slot::Total => &mut self.total,
            Slot::PromptDetails => return Modalities::read(raw, &mut self.prompt_media, &mut self.impossible),
            Slot::CacheDetails => return Modalities::read(raw, &mut self.cached_media, &mut self.impossible),
            Slot::CandidatesDetails => return Modalities::read(raw, &mut self.candidates_media, &mut self.impossible),
            Slot::Tier => {
                // Two members speak of it; the one that knows only "standard" leaves it to the other.
                let tier = Tier::read(&string(raw).unwrap_or_default());
                if tier != Tier::Standard {
                    self.tier = tier;
                }
                return;
            }
            Slot::Parts | Slot::End | Slot::Grounding | Slot::Queries | Slot::Model | Slot::Error => return,
        };
        Figure::read(raw).put(place, &mut self.impossible);
    }

    /// Whether it says nothing of tokens.
    pub(super) fn is_silent(&self) -> bool {
        [self.prompt, self.candidates, self.thoughts, self.tool_use].iter().all(Option::is_none)
    }

    /// The figures in the words that both vendors share. A prompt that was never said is taken to be `input_estimate`
    /// long, an output that was never said by its characters.
    pub(super) fn usage(&self, input_estimate: u64, chars: u64) -> Usage {
        let (prompt, thoughts, tool_use) =
            (self.prompt.unwrap_or(input_estimate), self.thoughts.unwrap_or(0), self.tool_use.unwrap_or(0));
        let cache_read = self.cached.unwrap_or(0).min(prompt);
        let input = prompt - cache_read;
        let candidates = self.candidates.unwrap_or_else(|| tokens_of(chars));
        let holds_thoughts = thoughts > 0 && self.total == Some(prompt.saturating_add(candidates + tool_use));
        let output = if holds_thoughts { candidates } else { candidates + thoughts };
        Usage {
            input,
            cache_read,
            output,
            thinking: thoughts,
            tool_use,
            estimated: self.impossible || self.prompt.is_none() || (self.candidates.is_none() && chars > 0),
            terms: Terms { tier: self.tier, ..Terms::default() },
            media: self.media(input, cache_read, output),
            ..Usage::default()
        }
    }

    fn media(&self, input: u64, cache_read: u64, output: u64) -> Media {
        let (prompt, cached) = (self.prompt_media, self.cached_media);
        let fresh = Modalities {
            audio: prompt.audio.saturating_sub(cached.audio),
            image: prompt.image.saturating_sub(cached.image),
            video: prompt.video.saturating_sub(cached.video),
        };
        let (input, output) = (fresh.within(input), self.candidates_media.within(output));
        Media {
            audio_input: input.audio,
            image_input: input.image,
            video_input: input.video,
            audio_cache_read: cached.audio.min(cache_read),
            audio_output: output.audio,
            image_output: output.image,
            video_output: output.video,
        }
    }
}

impl Modalities {
    fn read(raw: &[u8], place: &mut Self, impossible: &mut bool) {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Detail<'a> {
            modality: Option<String>,
            #[serde(borrow)]
            token_count: Option<&'a RawValue>,
        }
        let details: Vec<Detail<'_>> = match serde_json::from_slice(raw) {
            Ok(Some(details)) => details,
            Ok(None) => return,
            Err(_) => return *impossible = true,
        };
        let mut read = Self::default();
        for detail in details {
            let mut tokens = None;
            detail
                .token_count
                .map_or(Figure::Absent, |count| Figure::read(count.get().as_bytes()))
                .put(&mut tokens, impossible);
            let sum = match detail.modality.as_deref() {
                Some("AUDIO") => &mut read.audio,
                Some("IMAGE") => &mut read.image,
                Some("VIDEO") => &mut read.video,
                _ => continue,
            };
            *sum = sum.saturating_add(tokens.unwrap_or(0));
        }
        *place = read;
    }

    /// The same, cut down to fit into `whole`.
    fn within(self, whole: u64) -> Self {
        let audio = self.audio.min(whole);
        let image = self.image.min(whole - audio);
        let video = self.video.min(whole - audio - image);
        Self { audio, image, video }
    }
}
