//! The sentences of HTTP statuses, for the codes of facility 0x19.

use super::words::Words;

/// Status and sentence, in the order of the statuses.
pub(super) const TABLE: &[(u32, Words)] = &[
    (
        100,
        Words::new("the server waits for more", "o servidor aguarda o restante"),
    ),
    (
        300,
        Words::new(
            "the server offers several choices",
            "o servidor oferece várias opções",
        ),
    ),
    (
        301,
        Words::new(
            "the file has moved for good",
            "o arquivo mudou de lugar em definitivo",
        ),
    ),
    (
        302,
        Words::new(
            "the file has moved for now",
            "o arquivo mudou de lugar por enquanto",
        ),
    ),
    (
        303,
        Words::new("the file is elsewhere", "o arquivo está em outro lugar"),
    ),
    (
        304,
        Words::new(
            "the server's response was not valid",
            "a resposta do servidor não é válida",
        ),
    ),
    (
        305,
        Words::new(
            "the file must be fetched through a proxy",
            "o arquivo deve ser obtido por meio de um proxy",
        ),
    ),
    (
        307,
        Words::new(
            "the file has moved for now",
            "o arquivo mudou de lugar por enquanto",
        ),
    ),
    (
        400,
        Words::new("the request was not valid", "a solicitação não é válida"),
    ),
    (
        401,
        Words::new(
            "the server wants other credentials",
            "o servidor exige outras credenciais",
        ),
    ),
    (
        402,
        Words::new("the server wants payment", "o servidor exige pagamento"),
    ),
    (
        403,
        Words::new("the server refuses access", "o servidor recusa o acesso"),
    ),
    (
        404,
        Words::new(
            "the file does not exist on the server",
            "o arquivo não existe no servidor",
        ),
    ),
    (
        405,
        Words::new(
            "the server does not allow the method",
            "o servidor não permite o método",
        ),
    ),
    (
        406,
        Words::new(
            "the server has no acceptable form of the file",
            "o servidor não tem o arquivo em uma forma aceitável",
        ),
    ),
    (
        407,
        Words::new(
            "the proxy wants other credentials",
            "o proxy exige outras credenciais",
        ),
    ),
    (
        408,
        Words::new(
            "the server timed out waiting for the request",
            "o tempo do servidor à espera da solicitação se esgotou",
        ),
    ),
    (
        409,
        Words::new(
            "the request conflicts with the state of the file",
            "a solicitação está em conflito com o estado do arquivo",
        ),
    ),
    (
        410,
        Words::new(
            "the file is gone from the server for good",
            "o arquivo foi removido do servidor em definitivo",
        ),
    ),
    (
        411,
        Words::new(
            "the server wants a content length",
            "o servidor exige o tamanho do conteúdo",
        ),
    ),
    (
        412,
        Words::new(
            "a precondition of the request was not met",
            "uma condição prévia da solicitação não foi atendida",
        ),
    ),
    (
        413,
        Words::new(
            "the request is too large for the server",
            "a solicitação é grande demais para o servidor",
        ),
    ),
    (
        414,
        Words::new(
            "the URL is too long for the server",
            "a URL é longa demais para o servidor",
        ),
    ),
    (
        415,
        Words::new(
            "the server's response was not valid",
            "a resposta do servidor não é válida",
        ),
    ),
    (
        416,
        Words::new(
            "the requested range is not in the file",
            "o intervalo solicitado não está no arquivo",
        ),
    ),
    (
        417,
        Words::new(
            "an expectation of the request was not met",
            "uma expectativa da solicitação não foi atendida",
        ),
    ),
    (
        429,
        Words::new("there are too many requests", "há solicitações demais"),
    ),
    (
        449,
        Words::new(
            "the server's response was not valid",
            "a resposta do servidor não é válida",
        ),
    ),
    (500, Words::new("the server failed", "o servidor falhou")),
    (
        501,
        Words::new(
            "the server does not support the request",
            "o servidor não oferece suporte à solicitação",
        ),
    ),
    (
        502,
        Words::new(
            "a gateway on the way got no valid response",
            "um gateway no caminho não recebeu uma resposta válida",
        ),
    ),
    (
        503,
        Words::new(
            "the server is overloaded or down for now",
            "o servidor está sobrecarregado ou fora do ar por enquanto",
        ),
    ),
    (
        504,
        Words::new(
            "a gateway on the way timed out",
            "o tempo de um gateway no caminho se esgotou",
        ),
    ),
    (
        505,
        Words::new(
            "the server does not support the HTTP version",
            "o servidor não oferece suporte à versão do HTTP",
        ),
    ),
];

/// Of a status that has no sentence of its own.
pub(super) const OTHER: Words = Words::new(
    "the server answered with an unexpected status",
    "o servidor respondeu com um status inesperado",
);
