use super::*;
use crate::mechanism::spnego::FirstToken;

/// A mechanism of so many tokens, which signs by writing its name before.
struct Scripted {
    name: &'static str,
    begins: Result<(), Unproven>,
    legs: usize,
    signs_always: bool,
}

impl Scripted {
    fn kerberos() -> Self {
        Self {
            name: "kerberos",
            begins: Ok(()),
            legs: 1,
            signs_always: false,
        }
    }

    fn ntlm() -> Self {
        Self {
            name: "ntlm",
            begins: Ok(()),
            legs: 2,
            signs_always: true,
        }
    }

    fn failing(self, begins: Unproven) -> Self {
        Self {
            begins: Err(begins),
            ..self
        }
    }
}

impl Initiate for Scripted {
    fn step(&mut self, token: Option<&[u8]>) -> Result<Told, Unproven> {
        self.begins.clone()?;
        let heard = token.map(String::from_utf8_lossy).unwrap_or_default();
        self.legs -= 1;
        Ok(Told {
            token: Some(format!("{}<{heard}>", self.name).into_bytes()),
            next: if self.legs == 0 {
                Next::Nothing
            } else {
                Next::Question
            },
        })
    }

    fn sign(&mut self, data: &[u8]) -> Result<Vec<u8>, SealError> {
        Ok([self.name.as_bytes(), data].concat())
    }

    fn verify(&mut self, data: &[u8], signature: &[u8]) -> Result<(), SealError> {
        let good = self.sign(data)? == signature;
        good.then_some(()).ok_or(SealError)
    }

    fn signs_always(&self) -> bool {
        self.signs_always
    }
}

fn negotiation(kerberos: Scripted, ntlm: Scripted) -> Negotiation {
    Negotiation::new(vec![
        Candidate {
            mech: MechType::Kerberos,
            log_on: Box::new(kerberos),
        },
        Candidate {
            mech: MechType::Ntlm,
            log_on: Box::new(ntlm),
        },
    ])
}

/// The list of the first token, its mechanisms, and the token within.
fn first(octets: &[u8]) -> (Vec<u8>, Vec<Option<MechType>>, Vec<u8>) {
    let Ok(FirstToken::Spnego(init)) = FirstToken::decode(octets) else {
        panic!("no first token");
    };
    let token = init.mech_token.expect("a token").to_vec();
    let list = init.mech_types.octets.to_vec();
    (list, init.mech_types.types, token)
}

fn says(
    state: NegState,
    mech: Option<MechType>,
    token: Option<&[u8]>,
    mic: Option<&[u8]>,
) -> Vec<u8> {
    let answer = NegTokenResp {
        neg_state: Some(state),
        supported_mech: mech,
        response_token: token,
        mech_list_mic: mic,
    };
    answer.encode()
}

fn begin(negotiation: &mut Negotiation) -> Vec<u8> {
    let told = negotiation.step(None).expect("it begins");
    told.token.expect("a token")
}

#[test]
fn the_mechanism_liked_best_begins_and_may_end_with_one_token() {
    let mut negotiation = negotiation(Scripted::kerberos(), Scripted::ntlm());
    let (_, types, token) = first(&begin(&mut negotiation));
    assert_eq!(types, [Some(MechType::Kerberos), Some(MechType::Ntlm)]);
    assert_eq!(token, b"kerberos<>");
    assert_eq!(negotiation.conclude(), Ok(()));
}

#[test]
fn what_cannot_begin_is_not_offered() {
    let unable = Unproven::Unable("no ticket".to_owned());
    let kerberos = Scripted::kerberos().failing(unable);
    let mut negotiation = negotiation(kerberos, Scripted::ntlm());
    let (_, types, token) = first(&begin(&mut negotiation));
    assert_eq!(types, [Some(MechType::Ntlm)]);
    assert_eq!(token, b"ntlm<>");
}

#[test]
fn a_password_that_the_kdc_rejects_is_not_tried_by_another_mechanism() {
    let rejected = Unproven::Rejected("preauthentication failed".to_owned());
    let kerberos = Scripted::kerberos().failing(rejected.clone());
    let mut negotiation = negotiation(kerberos, Scripted::ntlm());
    assert_eq!(negotiation.step(None), Err(rejected));
}

#[test]
fn without_any_mechanism_the_log_on_is_put_off_only_if_one_may_come_back() {
    let later = Unproven::Later("no KDC".to_owned());
    let unable = Unproven::Unable("no library".to_owned());
    for (kerberos, ntlm, why) in [
        (later.clone(), unable.clone(), later.clone()),
        (unable.clone(), later.clone(), later),
        (unable.clone(), unable.clone(), unable),
    ] {
        let mut negotiation = negotiation(
            Scripted::kerberos().failing(kerberos),
            Scripted::ntlm().failing(ntlm),
        );
        assert_eq!(negotiation.step(None), Err(why));
    }
}

#[test]
fn a_server_that_chooses_the_other_mechanism_must_sign_the_list() {
    for (signs, good) in [(true, true), (false, false)] {
        let mut negotiation = negotiation(Scripted::kerberos(), Scripted::ntlm());
        let (list, _, _) = first(&begin(&mut negotiation));
        let choice = says(NegState::RequestMic, Some(MechType::Ntlm), None, None);
        let told = negotiation.step(Some(&choice)).expect("NTLM begins");
        assert_eq!(told.next, Next::Question);
        let token = told.token.expect("a token");
        let answer = NegTokenResp::decode(&token).expect("an answer");
        assert_eq!(answer.response_token, Some(&b"ntlm<>"[..]));
        assert_eq!(answer.mech_list_mic, None);

        let challenge = says(NegState::AcceptIncomplete, None, Some(b"challenge"), None);
        let told = negotiation.step(Some(&challenge)).expect("NTLM goes on");
        let token = told.token.expect("a token");
        let answer = NegTokenResp::decode(&token).expect("an answer");
        let ours = [b"ntlm", &*list].concat();
        assert_eq!(answer.response_token, Some(&b"ntlm<challenge>"[..]));
        assert_eq!(answer.mech_list_mic, Some(&*ours));

        let mic = signs.then_some(&*ours);
        let end = says(NegState::AcceptCompleted, None, None, mic);
        let told = negotiation.step(Some(&end)).expect("it ends");
        assert_eq!(told.token, None);
        assert_eq!(negotiation.conclude().is_ok(), good);
    }
}

#[test]
fn a_list_that_is_signed_wrong_is_no_answer() {
    let mut negotiation = negotiation(Scripted::kerberos(), Scripted::ntlm());
    begin(&mut negotiation);
    let end = says(NegState::AcceptCompleted, None, None, Some(b"forged"));
    let told = negotiation.step(Some(&end));
    assert!(matches!(told, Err(Unproven::WrongAnswer(_))), "{told:?}");
}

#[test]
fn kerberos_by_its_other_name_is_kerberos() {
    let mut negotiation = negotiation(Scripted::kerberos(), Scripted::ntlm());
    begin(&mut negotiation);
    let other = Some(MechType::MicrosoftKerberos);
    let end = says(NegState::AcceptCompleted, other, None, None);
    let told = negotiation.step(Some(&end)).expect("it ends");
    assert_eq!(told.token, None);
    assert_eq!(negotiation.conclude(), Ok(()));
}

#[test]
fn a_server_that_rejects_or_says_too_much_ends_the_log_on() {
    let reject = says(NegState::Reject, None, None, None);
    let foreign = says(
        NegState::AcceptIncomplete,
        Some(MechType::Ntlm),
        Some(b"challenge"),
        None,
    );
    for wrong in [&reject[..], &foreign, b"", b"NTLMSSP\0"] {
        let mut negotiation = negotiation(Scripted::kerberos(), Scripted::ntlm());
        begin(&mut negotiation);
        assert!(negotiation.step(Some(wrong)).is_err());
    }
}
