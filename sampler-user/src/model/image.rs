//! What an image is called, and which version of it a container was made from.

/// Digits of a digest that people read.
const DIGITS: usize = 12;
/// A tag that is moved from version to version.
const MOVED: &str = "latest";

/// A reference to an image, taken apart. Untrusted.
///
/// ```
/// use sampler::model::image::ImageRef;
///
/// let api = ImageRef::of("registry:5000/shop/api:1.42@sha256:0123456789abcdef");
/// assert_eq!((api.name, api.tag), ("registry:5000/shop/api", Some("1.42")));
/// assert_eq!(api.version(None).as_deref(), Some("1.42"));
/// // What moves, and what has no tag, is what its digest is.
/// let latest = ImageRef::of("api:latest");
/// assert_eq!(latest.version(Some("sha256:0123456789abcdef")).as_deref(), Some("latest@0123456789ab"));
/// assert_eq!(ImageRef::of("api").version(None), None);
/// assert_eq!(ImageRef::of("sha256:0123456789abcdef").version(None).as_deref(), Some("@0123456789ab"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageRef<'a> {
    /// Registry and repository; empty of a mere digest.
    pub name: &'a str,
    /// Tag.
    pub tag: Option<&'a str>,
    /// Digest, with its algorithm.
    pub digest: Option<&'a str>,
}

impl<'a> ImageRef<'a> {
    /// Of a text as people and runtimes write it.
    pub fn of(text: &'a str) -> ImageRef<'a> {
        if text.strip_prefix("sha256:").is_some_and(|rest| !rest.contains('/')) {
            return ImageRef { name: "", tag: None, digest: Some(text) };
        }
        let (text, digest) = match text.split_once('@') {
            Some((text, digest)) => (text, Some(digest)),
            None => (text, None),
        };
        match text.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => ImageRef { name, tag: Some(tag), digest },
            _ => ImageRef { name: text, tag: None, digest },
        }
    }

    /// Its version: the tag, and the digest where there is no tag or one that is moved. `id` is what the runtime has for the image.
    /// `None` where neither is known.
    pub fn version(&self, id: Option<&str>) -> Option<String> {
        let tag = self.tag.unwrap_or_default();
        let digest = self.digest.or(id).map(|digest| digest.rsplit(':').next().unwrap_or(digest));
        let digest = digest.map(|digits| digits.chars().take(DIGITS).collect::<String>());
        match (tag, digest) {
            ("" | MOVED, Some(digest)) => Some(format!("{tag}@{digest}")),
            ("", None) => None,
            (tag, _) => Some(tag.to_owned()),
        }
    }
}
