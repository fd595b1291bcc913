//! Asks a server for what is missing of a file, and makes sure that what comes is
//! of the version that lies here; else for all of it.

use hyper::StatusCode;
use hyper::header;
use tracing::info;
use url::Url;

use super::Failure;
use super::answer::Answer;
use super::download::Download;
use super::feed;
use super::feed::Feed;
use super::feed::Whole;
use super::http_origin::Part;
use super::pieces::Outside;
use super::pieces::Places;
use super::range::ContentRange;
use super::stretch::Stretch;
use super::verdict;
use super::verdict::Said;
use super::verdict::Verdict;
use super::verdict::Wanted;
use crate::bits::ErrorContext;
use crate::bits::FileReport;
use crate::bits::Hresult;
use crate::bits::Validator;

/// The version that an answer begins to bring.
pub(super) struct Version {
    /// Octets of the local file.
    pub(super) size: Option<u64>,
    pub(super) validator: Validator,
    /// The first octet of the local file that comes.
    pub(super) from: u64,
}

/// An answer that has begun.
pub(super) struct Begun<'a> {
    pub(super) feed: Feed<'a>,
    pub(super) version: Version,
    /// The whole remote file comes, of which only these parts are wanted.
    pub(super) places: Option<Places>,
}

/// What a request came to.
pub(super) enum Start<'a> {
    /// Octets come.
    Comes(Box<Begun<'a>>),
    /// Everything is here: the server has no more.
    IsHere,
}

/// The version whose octets lie here.
#[derive(Clone)]
pub(super) struct Known {
    /// Octets of the local file.
    pub(super) size: Option<u64>,
    pub(super) validator: Validator,
}

impl<'a> Download<'a> {
    /// Asks for what is missing from octet `at` of the local file on, or for
    /// everything when the rest cannot be had of the same version.
    pub(super) async fn ask(
        &mut self,
        url: &Url,
        known: &Known,
        mut at: u64,
    ) -> Result<Start<'a>, Failure> {
        if known.validator.if_range().is_none() {
            at = 0;
        }
        let mut is_empty = false;
        while let Some(part) = self.part(known, at) {
            let ask = self.terms.ask(Some(part.clone()));
            let answer = self.origin.ask(url, &ask).await?;
            self.moved.clone_from(&answer.moved);
            check_coding(&answer)?;
            let validator = self.validator_of(&answer);
            let wanted = Wanted {
                first: part.first,
                last: part.last,
                here: (at > 0).then_some(&known.validator),
            };
            let said = Said {
                status: answer.status.as_u16(),
                range: answer
                    .header(header::CONTENT_RANGE)
                    .and_then(ContentRange::parse),
                length: answer.length(),
                validator: &validator,
            };
            let verdict = wanted.judge(said);
            let misfit = match verdict {
                Verdict::Part(part) => match self.fit(part, known, at, validator) {
                    Ok(version) => {
                        let stretch = Stretch::part(answer, part.skip, part.octets);
                        return Ok(Start::Comes(Box::new(Begun {
                            feed: Feed::new(stretch, self.in_parts(url, &version)),
                            version,
                            places: None,
                        })));
                    }
                    Err(misfit) => misfit,
                },
                Verdict::Whole { is_same } => {
                    return self
                        .whole(url, answer, known, at, is_same)
                        .await
                        .map(|begun| Start::Comes(Box::new(begun)));
                }
                Verdict::Beyond { total, is_same } if self.pieces.are_whole() => {
                    if is_same && at > 0 && total == Some(at) && known.size.is_none() {
                        answer.discard().await;
                        return Ok(Start::IsHere);
                    }
                    is_empty = at == 0 && total == Some(0);
                    Misfit::Unfit("the server has nothing there")
                }
                Verdict::Beyond { is_same, .. } if at == 0 || is_same => Misfit::Outside,
                Verdict::Beyond { .. } => Misfit::Unfit("the server has nothing there"),
                Verdict::Changed => Misfit::Changed,
                Verdict::Unfit(why) => Misfit::Unfit(why),
                Verdict::Other => return Err(answer.to_failure()),
            };
            let shown = answer.shown.clone();
            answer.discard().await;
            if is_empty {
                break;
            }
            self.begin_again(misfit, &shown, at)?;
            if at == 0 || self.pieces.are_whole() && !self.terms.require_ranges {
                break;
            }
            at = 0;
        }
        // All of it anew, by a request that cannot be misunderstood.
        let answer = self.origin.ask(url, &self.terms.ask(None)).await?;
        self.moved.clone_from(&answer.moved);
        if self.requires_ranges() && !(is_empty && answer.length() == Some(0)) {
            return Err(insufficient(&answer.shown, "the server has none"));
        }
        let begun = begin(&answer).and_then(|()| self.anew(url, answer));
        begun.map(|begun| Start::Comes(Box::new(begun)))
    }

    /// The part that is to be asked for; none: all of the remote file.
    fn part(&self, known: &Known, at: u64) -> Option<Part> {
        if !self.terms.has_ranges() {
            return None;
        }
        let if_range = known.validator.if_range().filter(|_| at > 0);
        if at == 0 && self.pieces.are_whole() && !self.terms.require_ranges {
            return None;
        }
        let total = known.size.filter(|_| at > 0);
        let total = total.and_then(|size| self.pieces.total(size));
        let piece = self.pieces.from(at, total)?;
        Some(Part {
            first: piece.first,
            last: piece.last,
            if_range: if_range.map(str::to_owned),
        })
    }

    /// Is a server without ranges an error?
    fn requires_ranges(&self) -> bool {
        self.terms.require_ranges && self.terms.has_ranges()
    }

    /// The version of which a part comes, if that part is of use.
    fn fit(
        &self,
        part: verdict::Part,
        known: &Known,
        at: u64,
        validator: Validator,
    ) -> Result<Version, Misfit> {
        let (size, validator) = if at > 0 {
            let total = part
                .total
                .or_else(|| known.size.and_then(|size| self.pieces.total(size)));
            let size = self.pieces.size(total).map_err(|Outside| Misfit::Outside)?;
            if known.size.is_some() && known.size != size {
                return Err(Misfit::Unfit("the file has another size under one version"));
            }
            (size, known.validator.clone())
        } else {
            let size = self.pieces.size(part.total);
            (size.map_err(|Outside| Misfit::Outside)?, validator)
        };
        let Some(size) = size else {
            return Err(Misfit::Unfit("the server does not say where the file ends"));
        };
        if validator.if_range().is_none() && part.octets < size - at {
            return Err(Misfit::Versionless);
        }
        Ok(Version {
            size: Some(size),
            validator,
            from: at,
        })
    }

    /// May another request be made, after an answer that was of no use?
    fn begin_again(&mut self, misfit: Misfit, shown: &str, at: u64) -> Result<(), Failure> {
        let doing = format!("asking for a part of {shown}");
        let why = match misfit {
            Misfit::Outside => {
                return Err(Failure::fatal(
                    ErrorContext::RemoteFile,
                    Hresult::BG_E_INVALID_RANGE,
                    format!("{doing}: a range is not inside the file"),
                ));
            }
            Misfit::Versionless => "the server names no version by which parts fit together",
            Misfit::Changed => "the file has changed",
            Misfit::Unfit(why) => why,
        };
        if self.requires_ranges() && at == 0 {
            return Err(insufficient(shown, why));
        }
        if !self.turns.may_begin_again() {
            let code = match misfit {
                Misfit::Changed => Hresult::BG_E_REMOTE_FILE_CHANGED,
                Misfit::Outside | Misfit::Versionless | Misfit::Unfit(_) => {
                    Hresult::WININET_E_INVALID_SERVER_RESPONSE
                }
            };
            return Err(Failure::for_now(
                ErrorContext::RemoteFile,
                code,
                format!("{doing}: {why}, once more"),
            ));
        }
        Ok(())
    }

    /// The whole remote file comes where a part was asked for.
    async fn whole(
        &mut self,
        url: &Url,
        answer: Answer<'a>,
        known: &Known,
        at: u64,
        is_same: bool,
    ) -> Result<Begun<'a>, Failure> {
        let length = answer.length();
        let is_same = is_same
            && known
                .size
                .is_none_or(|size| length.is_none_or(|it| it == size));
        if at > 0 && !is_same {
            self.begin_again(Misfit::Changed, &answer.shown, at)?;
            return self.anew(url, answer);
        }
        if self.requires_ranges() {
            return Err(insufficient(&answer.shown, "the whole file came"));
        }
        if !self.is_without_ranges {
            self.is_without_ranges = true;
            info!(
                job = %self.order.job,
                file = self.order.file.index,
                url = %answer.shown,
                "The server has no ranges: the file is fetched whole"
            );
            self.report(FileReport::WithoutRanges).await?;
        }
        if !self.pieces.are_whole() {
            return self.anew(url, answer);
        }
        // What lies here is of this version: it need not be written again.
        Ok(Begun {
            feed: Feed::new(Stretch::whole(answer, at), None),
            version: Version {
                size: length.or(known.size),
                validator: known.validator.clone(),
                from: at,
            },
            places: None,
        })
    }

    /// The whole remote file comes, from its first octet.
    fn anew(&self, url: &Url, answer: Answer<'a>) -> Result<Begun<'a>, Failure> {
        let length = answer.length();
        let outside = |Outside| {
            Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_INVALID_RANGE,
                format!(
                    "asking for {}: a range is not inside the file",
                    answer.shown
                ),
            )
        };
        let size = self.pieces.size(length).map_err(outside)?;
        let places =
            if self.pieces.are_whole() {
                None
            } else {
                let places = self.pieces.places(length).map_err(outside)?;
                Some(places.ok_or_else(|| {
                    insufficient(&answer.shown, "nobody says where the file ends")
                })?)
            };
        let validator = self.validator_of(&answer);
        let version = Version {
            size,
            validator,
            from: 0,
        };
        Ok(Begun {
            feed: Feed::new(Stretch::whole(answer, 0), self.in_parts(url, &version)),
            version,
            places,
        })
    }

    /// What parallel ranges must agree with, where the file may come in them.
    fn in_parts(&self, url: &Url, version: &Version) -> Option<Whole> {
        if !self.pieces.are_whole() || !self.terms.has_ranges() {
            return None;
        }
        let size = version.size.filter(|size| *size >= feed::LEAST)?;
        Some(Whole {
            url: url.clone(),
            from: version.from,
            size,
            validator: version.validator.clone(),
        })
    }

    fn validator_of(&self, answer: &Answer<'_>) -> Validator {
        let validator = Validator::read(
            answer.header(header::ETAG),
            answer.header(header::LAST_MODIFIED),
            answer.header(header::DATE),
        );
        if self.terms.has_ranges() {
            validator
        } else {
            validator.without_version()
        }
    }
}

/// Why an answer to a request for a part is of no use.
#[derive(Clone, Copy)]
enum Misfit {
    /// A part that was asked for is not inside the remote file.
    Outside,
    /// It is of another version.
    Changed,
    /// More parts are to come, and nobody could say that they are of one version.
    Versionless,
    /// It does not fit what was asked for.
    Unfit(&'static str),
}

/// Does an answer to a request for everything bring it?
fn begin(answer: &Answer<'_>) -> Result<(), Failure> {
    match answer.status {
        StatusCode::OK | StatusCode::NON_AUTHORITATIVE_INFORMATION => {}
        StatusCode::PARTIAL_CONTENT => {
            return Err(Failure::transport(
                Hresult::WININET_E_INVALID_SERVER_RESPONSE,
                format!("asking for {}: a part came unasked", answer.shown),
            ));
        }
        status if status.is_success() => {
            return Err(Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_INVALID_SERVER_RESPONSE,
                format!(
                    "asking for {}: HTTP status {}",
                    answer.shown,
                    status.as_u16()
                ),
            ));
        }
        _ => return Err(answer.to_failure()),
    }
    check_coding(answer)
}

fn check_coding(answer: &Answer<'_>) -> Result<(), Failure> {
    match answer.header(header::CONTENT_ENCODING) {
        Some(coding)
            if answer.status.is_success()
                && !coding.trim().is_empty()
                && !coding.eq_ignore_ascii_case("identity") =>
        {
            Err(Failure::fatal(
                ErrorContext::RemoteFile,
                Hresult::BG_E_INVALID_SERVER_RESPONSE,
                format!("asking for {}: the body is encoded, unasked", answer.shown),
            ))
        }
        _ => Ok(()),
    }
}

fn insufficient(shown: &str, why: &str) -> Failure {
    Failure::fatal(
        ErrorContext::RemoteFile,
        Hresult::BG_E_INSUFFICIENT_RANGE_SUPPORT,
        format!("asking for a part of {shown}: {why}"),
    )
}
