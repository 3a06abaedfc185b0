//! Makes and signs packages: what an office does, and no kiosk.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use cic_kiosk::config::Name;
use cic_kiosk::models::{MANIFEST, Manifest};
use jiff::{Timestamp, ToSpan};
use minisign::{KeyPair, SecretKeyBox};
use tar::{Builder, Header};
use toml::Table;

use super::archive::{FIRST, copy};
use super::package::{self, Demand, FORMAT, Package, Version, truth_of};

/// Why nothing was made, in a sentence.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What a package is made of.
pub struct Recipe {
    /// Folder of the models and their manifest.
    pub models: PathBuf,
    /// Folder of golden pages, each beside its truth.
    pub golden: PathBuf,
    /// Which one it is.
    pub version: Version,
    /// Days that it may be installed.
    pub days: u16,
    /// Device classes that it is for.
    pub devices: Vec<Name>,
    /// The oldest program that can use it.
    pub program: Version,
    /// What its golden pages must show.
    pub demand: Demand,
    /// What is good enough with it.
    pub decision: Table,
}

/// Writes a package that nobody has signed yet.
///
/// # Errors
/// Where something is missing or wrong.
pub fn pack(recipe: &Recipe, out: &Path) -> Result<Package, Failure> {
    let manifest = Manifest::open(&recipe.models)?;
    let mut sources = vec![recipe.models.join(MANIFEST)];
    for entry in manifest.entries() {
        manifest.bytes(entry)?;
        sources.push(recipe.models.join(&entry.file));
    }
    let golden = fs::read_dir(&recipe.golden)
        .map_err(|error| format!("{}: {error}", recipe.golden.display()))?;
    let mut golden = golden.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    golden.sort();
    let models = sources.len();
    sources.extend(golden);
    let mut files = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        let folder = if index < models { "models" } else { "golden" };
        let name = source.file_name().unwrap_or_default().to_string_lossy();
        let mut file = File::open(source)?;
        files.push(package::File {
            path: format!("{folder}/{name}"),
            bytes: file.metadata()?.len(),
            sha256: copy(&mut file, &mut io::sink())?,
        });
    }
    let created = Timestamp::from_second(Timestamp::now().as_second())?;
    let package = Package {
        format: FORMAT,
        version: recipe.version,
        created,
        expires: created.checked_add((i64::from(recipe.days) * 24).hours())?,
        devices: recipe.devices.clone(),
        program: recipe.program,
        golden: recipe.demand,
        decision: recipe.decision.clone(),
        files,
    };
    let text = toml::to_string(&package)?;
    // What a kiosk would refuse is not made.
    Package::parse(&text)?;
    for page in package.golden_pages() {
        let truth = fs::read(recipe.golden.join(truth_of(page).trim_start_matches("golden/")))?;
        serde_json::from_slice::<cic_kiosk::eval::Truth>(&truth)
            .map_err(|error| format!("the truth of {page}: {error}"))?;
    }
    let mut archive = Builder::new(File::create(out)?);
    append(&mut archive, FIRST, text.len() as u64, &mut text.as_bytes())?;
    for (file, source) in package.files.iter().zip(&sources) {
        append(&mut archive, &file.path, file.bytes, &mut File::open(source)?)?;
    }
    archive.into_inner()?.sync_all()?;
    Ok(package)
}

fn append(
    archive: &mut Builder<File>,
    path: &str,
    bytes: u64,
    from: &mut impl Read,
) -> io::Result<()> {
    let mut header = Header::new_ustar();
    header.set_size(bytes);
    header.set_mode(0o644);
    archive.append_data(&mut header, path, from)
}

/// Signs a package: its signature stands before it in the new file.
///
/// # Errors
/// Where the key cannot be used.
pub fn sign(
    packed: &Path,
    key: &Path,
    password: Option<String>,
    comment: &str,
    out: &Path,
) -> Result<(), Failure> {
    let boxed = SecretKeyBox::from_string(&fs::read_to_string(key)?)?;
    let key = match password {
        Some(password) => boxed.into_secret_key(Some(password))?,
        None => boxed.into_unencrypted_secret_key()?,
    };
    let untrusted = "signature of a package of models for cic-kiosk";
    let signature =
        minisign::sign(None, &key, File::open(packed)?, Some(comment), Some(untrusted))?;
    let mut out = File::create(out)?;
    let text = signature.into_string();
    out.write_all(text.trim_end().as_bytes())?;
    out.write_all(b"\n")?;
    io::copy(&mut File::open(packed)?, &mut out)?;
    Ok(out.sync_all()?)
}

/// A new pair of keys: the public one as `models.keys` takes it, and the secret one's file.
///
/// # Errors
/// Where no randomness can be had.
pub fn key_pair(password: Option<String>) -> Result<(String, String), Failure> {
    let comment = Some("secret key for packages of models for cic-kiosk");
    let KeyPair { pk, sk } = match password {
        Some(password) => KeyPair::generate_encrypted_keypair(Some(password))?,
        None => KeyPair::generate_unencrypted_keypair()?,
    };
    Ok((pk.to_base64(), sk.to_box(comment)?.into_string()))
}

#[cfg(test)]
mod tests {
    use std::fs::OpenOptions;
    use std::os::unix::fs::FileExt;

    use tempfile::TempDir;

    use super::*;
    use crate::updates::Refusal;
    use crate::updates::archive::{Signed, check_folder, keys};

    const LIMIT: u64 = 1 << 20;

    struct Fixture {
        folder: TempDir,
        public: String,
        signed: PathBuf,
    }

    impl Fixture {
        /// A signed package of a model that is none: nobody loads it here.
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let path = |name: &str| folder.path().join(name);
            for name in ["m", "g"] {
                fs::create_dir(path(name)).unwrap();
            }
            let manifest = "[[model]]\nname = \"d\"\nkind = \"detector\"\nversion = \"1\"\n\
                            file = \"a.onnx\"\nprecision = \"int8\"\nsha256 = \"ba7816bf8f01cfea4\
                            14140de5dae2223b00361a396177a9cb410ff61f20015ad\"\n";
            fs::write(path("m/manifest.toml"), manifest).unwrap();
            fs::write(path("m/a.onnx"), b"abc").unwrap();
            fs::write(path("g/a.pdf"), vec![7; 100_000]).unwrap();
            fs::write(path("g/a.json"), b"{\"kind\":\"scan\",\"info\":{}}").unwrap();
            let recipe = Recipe {
                models: path("m"),
                golden: path("g"),
                version: "1.2.0".parse().unwrap(),
                days: 90,
                devices: vec!["any".parse().unwrap()],
                program: "0.1.0".parse().unwrap(),
                demand: Demand { right: 0.9, slowdown: 2.0 },
                decision: Table::new(),
            };
            pack(&recipe, &path("packed")).unwrap();
            let (public, secret) = key_pair(Some("pass".to_owned())).unwrap();
            fs::write(path("key"), secret).unwrap();
            let signed = path("signed");
            let password = Some("pass".to_owned());
            sign(&path("packed"), &path("key"), password, "1.2.0", &signed).unwrap();
            Self { public, signed, folder }
        }

        fn open(&self) -> Result<Signed, Refusal> {
            Signed::open(&self.signed, &keys(std::slice::from_ref(&self.public)).unwrap(), LIMIT)
        }
    }

    #[test]
    fn what_was_packed_and_signed_is_unpacked_as_it_was() {
        let fixture = Fixture::new();
        let mut signed = fixture.open().unwrap();
        assert_eq!(signed.comment, "1.2.0");
        let out = fixture.folder.path().join("out");
        let package = signed.unpack(&out).unwrap();
        assert_eq!(fs::read(out.join("models/a.onnx")).unwrap(), b"abc");
        assert_eq!(fs::read(out.join("golden/a.pdf")).unwrap(), vec![7; 100_000]);
        assert_eq!(check_folder(&out).unwrap(), package);
        fs::write(out.join("golden/a.pdf"), b"other").unwrap();
        assert!(check_folder(&out).is_err());
    }

    #[test]
    fn next_key_does_as_well_as_the_current_one_and_no_other_key_does() {
        let fixture = Fixture::new();
        let other = key_pair(None).unwrap().0;
        let both = keys(&[other.clone(), fixture.public.clone()]).unwrap();
        assert!(Signed::open(&fixture.signed, &both, LIMIT).is_ok());
        let refused = Signed::open(&fixture.signed, &keys(&[other]).unwrap(), LIMIT).unwrap_err();
        assert_eq!(refused.code(), "signature");
        assert_eq!(Signed::open(&fixture.signed, &[], LIMIT).unwrap_err().code(), "no_keys");
        assert!(keys(&["RWQ".to_owned()]).unwrap_err().contains("number 1"));
    }

    #[test]
    fn package_that_is_cut_off_anywhere_or_changed_in_one_bit_is_refused() {
        let fixture = Fixture::new();
        let whole = fs::read(&fixture.signed).unwrap();
        let step = whole.len() / 40;
        for end in (0..400).chain((400..whole.len()).step_by(step)) {
            fs::write(&fixture.signed, &whole[..end]).unwrap();
            assert!(fixture.open().is_err(), "{end}");
        }
        fs::write(&fixture.signed, [&whole[..], b"more"].concat()).unwrap();
        assert!(fixture.open().is_err(), "nothing may follow, either");
        fs::write(&fixture.signed, &whole).unwrap();
        let file = OpenOptions::new().write(true).open(&fixture.signed).unwrap();
        // The first line is for people, and not signed.
        let lines = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for at in (lines..lines + 300).chain((lines + 300..whole.len()).step_by(step)) {
            file.write_all_at(&[whole[at] ^ 1], at as u64).unwrap();
            assert!(fixture.open().is_err(), "{at}");
            file.write_all_at(&whole[at..=at], at as u64).unwrap();
        }
        assert!(fixture.open().is_ok());
        let refused = Signed::open(
            &fixture.signed,
            &keys(std::slice::from_ref(&fixture.public)).unwrap(),
            10,
        );
        assert_eq!(refused.unwrap_err().code(), "too_large");
    }

    /// An archive of these entries behind a right signature: what a signer by mistake, or with a
    /// stolen key, could send.
    fn unpacked(entries: &[(&str, &[u8], tar::EntryType)]) -> Result<Package, Refusal> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let mut archive = Builder::new(File::create(path("packed")).unwrap());
        for (name, content, kind) in entries {
            let mut header = Header::new_old();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_cksum();
            archive.append(&header, *content).unwrap();
        }
        archive.into_inner().unwrap();
        let (public, secret) = key_pair(None).unwrap();
        fs::write(path("key"), secret).unwrap();
        sign(&path("packed"), &path("key"), None, "", &path("signed")).unwrap();
        let mut signed = Signed::open(&path("signed"), &keys(&[public]).unwrap(), LIMIT).unwrap();
        let out = signed.unpack(&path("out"));
        assert!(fs::read_dir(folder.path()).unwrap().count() <= 4, "nothing beside the folder");
        out
    }

    #[test]
    fn archive_that_holds_anything_else_than_it_names_is_refused() {
        use tar::EntryType::{Link, Regular, Symlink};
        let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let file = |path: &str, bytes: usize| {
            format!("[[file]]\npath = \"{path}\"\nbytes = {bytes}\nsha256 = \"{digest}\"\n")
        };
        let head = "format = 1\nversion = \"1.2.0\"\ncreated = \"2026-01-01T00:00:00Z\"\n\
                    expires = \"2027-01-01T00:00:00Z\"\ndevices = [\"any\"]\nprogram = \"0.1.0\"\n\
                    golden = { right = 1.0, slowdown = 2.0 }\n";
        let paths = ["models/manifest.toml", "golden/a.png", "golden/a.json"];
        let text = head.to_owned() + &paths.map(|path| file(path, 3)).concat();
        let first = (FIRST, text.as_bytes(), Regular);
        let [a, b, c] = paths.map(|path| (path, &b"abc"[..], Regular));
        assert!(unpacked(&[first, a, b, c]).is_ok());
        for (entries, words) in [
            (vec![], "empty"),
            (vec![a, first, b, c], "package.toml is not where"),
            (vec![first, a, b], "golden/a.json is missing"),
            (vec![first, a, c, b], "golden/a.png is not where"),
            (vec![first, a, b, c, c], "more files"),
            (vec![first, (paths[0], &b"abcd"[..], Regular), b, c], "not as long"),
            (vec![first, (paths[0], &b"abd"[..], Regular), b, c], "another SHA-256"),
            (vec![first, ("../../evil", &b"abc"[..], Regular), b, c], "not where"),
            (vec![first, ("/tmp/evil", &b"abc"[..], Regular), b, c], "not where"),
            (vec![first, (paths[0], &b""[..], Symlink), b, c], "not where"),
            (vec![first, (paths[0], &b""[..], Link), b, c], "not where"),
        ] {
            let error = unpacked(&entries).expect_err(words).to_string();
            assert!(error.contains(words), "{words}: {error}");
        }
    }
}
