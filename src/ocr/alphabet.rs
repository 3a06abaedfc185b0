//! The characters that a recogniser can write.
//!
//! They travel inside the model's metadata. A stock "Latin" recogniser lacks most Vietnamese
//! letters and drops the tones in silence; such a model is refused here, by name of what it lacks.

use std::collections::HashSet;

use super::model::ModelError;

/// The 67 lower-case Vietnamese letters that ASCII lacks.
const VIETNAMESE: &str = "àáảãạăằắẳẵặâầấẩẫậèéẻẽẹêềếểễệìíỉĩịòóỏõọôồốổỗộơờớởỡợùúủũụưừứửữựỳýỷỹỵđ";

/// What amounts, dates, codes and labels of a report are written with.
const REQUIRED: &str = " 0123456789.,:;-()/*%";

/// A recogniser's characters by class. Class 0 is the CTC blank.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alphabet(Vec<char>);

impl Alphabet {
    /// Parses the concatenated characters of the metadata.
    ///
    /// Refuses an alphabet with a character twice, or without a letter or mark that reports need.
    pub fn parse(text: &str) -> Result<Self, ModelError> {
        let characters: Vec<char> = text.chars().collect();
        let known: HashSet<char> = characters.iter().copied().collect();
        if known.len() < characters.len() {
            return Err(ModelError::Alphabet("it names a character twice".to_owned()));
        }
        let missing: String = required().filter(|character| !known.contains(character)).collect();
        if !missing.is_empty() {
            return Err(ModelError::Alphabet(format!("it lacks {missing:?}")));
        }
        Ok(Self(characters))
    }

    /// Number of classes, the blank included.
    pub fn classes(&self) -> usize {
        self.0.len() + 1
    }

    /// The character of a class; `None` for the blank and for what lies outside.
    pub fn character(&self, class: usize) -> Option<char> {
        self.0.get(class.checked_sub(1)?).copied()
    }
}

/// Every character that a model must know.
fn required() -> impl Iterator<Item = char> {
    let letters = VIETNAMESE.chars().chain('a'..='z');
    letters.clone().chain(letters.flat_map(char::to_uppercase)).chain(REQUIRED.chars())
}

#[cfg(test)]
pub(crate) fn full() -> String {
    required().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_134_accented_letters_and_each_is_one_character() {
        let lower: HashSet<char> = VIETNAMESE.chars().collect();
        let both: HashSet<char> =
            lower.iter().flat_map(|c| c.to_uppercase()).chain(lower.clone()).collect();
        assert_eq!((lower.len(), both.len()), (67, 134));
    }

    #[test]
    fn a_full_alphabet_maps_classes_to_characters() {
        let alphabet = Alphabet::parse(&full()).unwrap();
        assert_eq!(alphabet.classes(), full().chars().count() + 1);
        assert_eq!(alphabet.character(0), None);
        assert_eq!(alphabet.character(1), Some('à'));
        assert_eq!(alphabet.character(alphabet.classes()), None);
    }

    #[test]
    fn a_latin_alphabet_is_refused_and_the_missing_letters_are_named() {
        let latin: String =
            full().chars().filter(|&c| !('\u{1ea0}'..='\u{1ef9}').contains(&c)).collect();
        let reason = Alphabet::parse(&latin).unwrap_err().to_string();
        assert!(reason.contains('ệ') && reason.contains('Ữ'), "{reason}");
    }

    #[test]
    fn an_alphabet_with_a_character_twice_is_refused() {
        assert!(Alphabet::parse(&(full() + "a")).is_err());
    }
}
