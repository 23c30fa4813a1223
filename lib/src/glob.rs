//! Globs of `*` and `?`: what keys and accounts name models by, and operators further paths. Those of models are looked at for
//! every account that is ranked, so nothing is compiled and nothing is allocated.

/// Whether one of the globs covers the text.
pub fn matches_any(globs: &[String], text: &str) -> bool {
    globs.iter().any(|glob| matches(glob, text))
}

/// `*` stands for any characters or none, `?` for one. Greedy, and gives back only to the last `*`: never worse than the
/// product of both lengths.
fn matches(glob: &str, text: &str) -> bool {
    let (mut glob, mut text) = (glob.chars(), text.chars());
    let mut star = None;
    loop {
        let here = text.clone();
        match (glob.next(), text.next()) {
            (None, None) => return true,
            (Some('*'), _) => {
                text = here;
                star = Some((glob.clone(), text.clone()));
            }
            (Some('?'), Some(_)) => {}
            (Some(wanted), Some(found)) if wanted == found => {}
            _ => {
                // The last star takes one character more.
                let Some((after, mut taken)) = star.take() else { return false };
                if taken.next().is_none() {
                    return false;
                }
                (glob, text) = (after.clone(), taken.clone());
                star = Some((after, taken));
            }
        }
    }
}

/// Whether a glob covers a path. Here `*` and `?` stand for no slash; `**`, alone between two, stands for any segments or none,
/// and at the end for at least one.
pub fn matches_path(glob: &str, path: &str) -> bool {
    fn covers(glob: &[&str], path: &[&str]) -> bool {
        match (glob, path) {
            ([], []) => true,
            (["**"], path) => !path.is_empty(),
            (["**", globs @ ..], _) => (0..=path.len()).any(|taken| covers(globs, &path[taken..])),
            ([glob, globs @ ..], [name, path @ ..]) => matches(glob, name) && covers(globs, path),
            _ => false,
        }
    }
    covers(&glob.split('/').collect::<Vec<_>>(), &path.split('/').collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use globset::{Glob, GlobBuilder};

    use super::*;

    /// All words of these signs up to a length.
    fn words(signs: &[char], longest: u32) -> Vec<String> {
        let mut words = vec![String::new()];
        let mut last = words.clone();
        for _ in 0..longest {
            last = last.iter().flat_map(|word| signs.iter().map(move |sign| format!("{word}{sign}"))).collect();
            words.extend(last.iter().cloned());
        }
        words
    }

    /// Every glob and every text of a few signs, as the crate for globs has it.
    #[test]
    fn it_says_what_the_library_for_globs_says() {
        let texts = words(&['a', 'b', '/'], 5);
        for glob in words(&['a', 'b', '*', '?'], 4) {
            let library = Glob::new(&glob).unwrap().compile_matcher();
            for text in &texts {
                assert_eq!(matches(&glob, text), library.is_match(text), "{glob} {text}");
            }
        }
    }

    #[test]
    fn of_paths_too() {
        let paths = words(&['a', 'b', '/'], 5);
        for glob in words(&['a', '*', '?', '/'], 6) {
            let glob = format!("/{glob}");
            let library = GlobBuilder::new(&glob).literal_separator(true).build().unwrap().compile_matcher();
            for path in &paths {
                let path = format!("/{path}");
                assert_eq!(matches_path(&glob, &path), library.is_match(&path), "{glob} {path}");
            }
        }
    }

    #[test]
    fn a_sign_is_a_character_and_many_stars_cost_little() {
        assert!(matches("模?-*", "模型-一") && !matches("模?-*", "模-一"));
        assert!(!matches(&"*a".repeat(200), &"a".repeat(199)));
        assert!(!matches(&format!("{}b", "a*".repeat(100)), &"a".repeat(10_000)));
    }
}
