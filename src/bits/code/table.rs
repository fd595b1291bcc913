//! The codes that are known by name, with their sentences.

use super::words::Words;

/// What is known of a code.
pub(super) struct Row {
    /// The number.
    pub(super) code: u32,
    /// The name in the headers of Windows.
    pub(super) name: &'static str,
    /// The sentence.
    pub(super) words: Words,
}

const fn row(
    code: u32,
    name: &'static str,
    english: &'static str,
    portuguese: &'static str,
) -> Row {
    Row {
        code,
        name,
        words: Words::new(english, portuguese),
    }
}

/// In the order of the codes.
pub(super) const TABLE: &[Row] = &[
    row(
        0x0020_0017,
        "BG_S_PARTIAL_COMPLETE",
        "only some of the files were kept",
        "só alguns dos arquivos foram mantidos",
    ),
    row(
        0x8000_4001,
        "E_NOTIMPL",
        "this is not implemented",
        "isto não está implementado",
    ),
    row(
        0x8000_4005,
        "E_FAIL",
        "an unspecified failure occurred",
        "ocorreu uma falha não especificada",
    ),
    row(
        0x8007_0002,
        "ERROR_FILE_NOT_FOUND",
        "the system cannot find the file specified",
        "o sistema não encontrou o arquivo especificado",
    ),
    row(
        0x8007_0003,
        "ERROR_PATH_NOT_FOUND",
        "the system cannot find the path specified",
        "o sistema não encontrou o caminho especificado",
    ),
    row(
        0x8007_0004,
        "ERROR_TOO_MANY_OPEN_FILES",
        "the service has too many files and connections open",
        "o serviço tem arquivos e conexões abertos demais",
    ),
    row(
        0x8007_0005,
        "E_ACCESSDENIED",
        "access is denied",
        "o acesso foi negado",
    ),
    row(
        0x8007_000E,
        "E_OUTOFMEMORY",
        "there is not enough memory",
        "não há memória suficiente",
    ),
    row(
        0x8007_0013,
        "ERROR_WRITE_PROTECT",
        "the disk is write protected",
        "o disco está protegido contra gravação",
    ),
    row(
        0x8007_0020,
        "ERROR_SHARING_VIOLATION",
        "the file is in use by another job",
        "o arquivo está em uso por outro trabalho",
    ),
    row(
        0x8007_0050,
        "ERROR_FILE_EXISTS",
        "the file exists",
        "o arquivo já existe",
    ),
    row(
        0x8007_0057,
        "E_INVALIDARG",
        "a parameter is not valid",
        "um parâmetro não é válido",
    ),
    row(
        0x8007_0070,
        "ERROR_DISK_FULL",
        "there is not enough space on the disk",
        "não há espaço suficiente no disco",
    ),
    row(
        0x8007_007B,
        "ERROR_INVALID_NAME",
        "the file name, directory name or volume label syntax is not valid",
        "a sintaxe do nome do arquivo, da pasta ou do volume não é válida",
    ),
    row(
        0x8007_045D,
        "ERROR_IO_DEVICE",
        "the disk could not be read or written",
        "não foi possível ler ou gravar no disco",
    ),
    row(
        0x8007_2EE2,
        "WININET_E_TIMEOUT",
        "the operation timed out",
        "o tempo da operação se esgotou",
    ),
    row(
        0x8007_2EE7,
        "WININET_E_NAME_NOT_RESOLVED",
        "the server name could not be resolved",
        "não foi possível resolver o nome do servidor",
    ),
    row(
        0x8007_2EFD,
        "WININET_E_CANNOT_CONNECT",
        "a connection with the server could not be made",
        "não foi possível conectar-se ao servidor",
    ),
    row(
        0x8007_2EFE,
        "WININET_E_CONNECTION_ABORTED",
        "the connection with the server was broken",
        "a conexão com o servidor foi interrompida",
    ),
    row(
        0x8007_2F0C,
        "WININET_E_CLIENT_AUTH_CERT_NEEDED",
        "the server wants a client certificate",
        "o servidor exige um certificado de cliente",
    ),
    row(
        0x8007_2F78,
        "WININET_E_INVALID_SERVER_RESPONSE",
        "the server's response could not be parsed",
        "não foi possível interpretar a resposta do servidor",
    ),
    row(
        0x8007_2F7C,
        "WININET_E_REDIRECT_FAILED",
        "the redirects lead nowhere",
        "os redirecionamentos não levam a lugar nenhum",
    ),
    row(
        0x8007_2F8F,
        "WININET_E_DECODING_FAILED",
        "the server's certificate or its TLS handshake is not acceptable",
        "o certificado do servidor ou a sua negociação TLS não é aceitável",
    ),
    row(
        0x8009_030E,
        "SEC_E_NO_CREDENTIALS",
        "no credentials are available to log on with",
        "não há credenciais disponíveis para o logon",
    ),
    row(
        0x8009_2004,
        "CRYPT_E_NOT_FOUND",
        "the certificate was not found",
        "o certificado não foi encontrado",
    ),
    row(
        0x8020_0001,
        "BG_E_NOT_FOUND",
        "the requested job was not found",
        "o trabalho solicitado não foi encontrado",
    ),
    row(
        0x8020_0002,
        "BG_E_INVALID_STATE",
        "the requested action is not allowed in the current state of the job",
        "a ação solicitada não é permitida no estado atual do trabalho",
    ),
    row(
        0x8020_0003,
        "BG_E_EMPTY",
        "there are no files attached to this job",
        "este trabalho não contém nenhum arquivo",
    ),
    row(
        0x8020_0004,
        "BG_E_FILE_NOT_AVAILABLE",
        "no file is available because no URL generated an error",
        "nenhum arquivo está disponível, pois nenhuma URL gerou um erro",
    ),
    row(
        0x8020_0005,
        "BG_E_PROTOCOL_NOT_AVAILABLE",
        "no protocol is available because no URL generated an error",
        "nenhum protocolo está disponível, pois nenhuma URL gerou um erro",
    ),
    row(
        0x8020_000D,
        "BG_E_DESTINATION_LOCKED",
        "the destination volume is locked",
        "o volume de destino está bloqueado",
    ),
    row(
        0x8020_000E,
        "BG_E_VOLUME_CHANGED",
        "the destination volume is another one than before",
        "o volume de destino não é mais o mesmo",
    ),
    row(
        0x8020_000F,
        "BG_E_ERROR_INFORMATION_UNAVAILABLE",
        "the job holds no error information in its current state",
        "o trabalho não tem informações de erro em seu estado atual",
    ),
    row(
        0x8020_0010,
        "BG_E_NETWORK_DISCONNECTED",
        "there is no network connection",
        "não há conexão de rede",
    ),
    row(
        0x8020_0011,
        "BG_E_MISSING_FILE_SIZE",
        "the server did not return the file size",
        "o servidor não informou o tamanho do arquivo",
    ),
    row(
        0x8020_0012,
        "BG_E_INSUFFICIENT_HTTP_SUPPORT",
        "the server does not support HTTP/1.1",
        "o servidor não oferece suporte a HTTP/1.1",
    ),
    row(
        0x8020_0013,
        "BG_E_INSUFFICIENT_RANGE_SUPPORT",
        "the server does not support the necessary HTTP protocol; ranges are required",
        "o servidor não oferece suporte ao protocolo HTTP necessário; são exigidos intervalos",
    ),
    row(
        0x8020_0016,
        "BG_E_NEW_OWNER_NO_FILE_ACCESS",
        "the new owner may not have the files of the job",
        "o novo proprietário não tem acesso aos arquivos do trabalho",
    ),
    row(
        0x8020_0018,
        "BG_E_PROXY_LIST_TOO_LARGE",
        "the proxy list is longer than 32 KB",
        "a lista de proxies tem mais de 32 KB",
    ),
    row(
        0x8020_0019,
        "BG_E_PROXY_BYPASS_LIST_TOO_LARGE",
        "the proxy bypass list is longer than 32 KB",
        "a lista de exceções de proxy tem mais de 32 KB",
    ),
    row(
        0x8020_001B,
        "BG_E_INVALID_SERVER_RESPONSE",
        "the server's response was not valid",
        "a resposta do servidor não é válida",
    ),
    row(
        0x8020_001C,
        "BG_E_TOO_MANY_FILES",
        "the job can have only one file",
        "o trabalho só pode ter um arquivo",
    ),
    row(
        0x8020_001D,
        "BG_E_LOCAL_FILE_CHANGED",
        "the local file has changed",
        "o arquivo local foi alterado",
    ),
    row(
        0x8020_001F,
        "BG_E_SESSION_NOT_FOUND",
        "the server does not know the upload session",
        "o servidor não reconhece a sessão de upload",
    ),
    row(
        0x8020_0020,
        "BG_E_TOO_LARGE",
        "the file is larger than the server's limit",
        "o arquivo é maior que o limite do servidor",
    ),
    row(
        0x8020_0021,
        "BG_E_STRING_TOO_LONG",
        "the text is too long",
        "o texto é longo demais",
    ),
    row(
        0x8020_0022,
        "BG_E_CLIENT_SERVER_PROTOCOL_MISMATCH",
        "client and server speak no common upload protocol",
        "o cliente e o servidor não têm um protocolo de upload em comum",
    ),
    row(
        0x8020_0023,
        "BG_E_SERVER_EXECUTE_ENABLE",
        "the upload folder of the server lets scripts or programs run",
        "a pasta de upload do servidor permite a execução de scripts ou programas",
    ),
    row(
        0x8020_0024,
        "BG_E_NO_PROGRESS",
        "the job made no progress in its allotted time",
        "o trabalho não progrediu no prazo permitido",
    ),
    row(
        0x8020_0025,
        "BG_E_USERNAME_TOO_LARGE",
        "the user name is longer than 300 characters",
        "o nome de usuário tem mais de 300 caracteres",
    ),
    row(
        0x8020_0026,
        "BG_E_PASSWORD_TOO_LARGE",
        "the password is longer than 65,535 characters",
        "a senha tem mais de 65.535 caracteres",
    ),
    row(
        0x8020_0027,
        "BG_E_INVALID_AUTH_TARGET",
        "the authentication target is not valid",
        "o destino da autenticação não é válido",
    ),
    row(
        0x8020_0028,
        "BG_E_INVALID_AUTH_SCHEME",
        "the authentication scheme is not valid",
        "o esquema de autenticação não é válido",
    ),
    row(
        0x8020_0029,
        "BG_E_FILE_NOT_FOUND",
        "the file is not in the job",
        "o arquivo não está no trabalho",
    ),
    row(
        0x8020_002B,
        "BG_E_INVALID_RANGE",
        "a range is empty or not inside the remote file",
        "um intervalo está vazio ou fora do arquivo remoto",
    ),
    row(
        0x8020_002C,
        "BG_E_OVERLAPPING_RANGES",
        "two ranges of the file overlap",
        "dois intervalos do arquivo se sobrepõem",
    ),
    row(
        0x8020_002D,
        "BG_E_CONNECT_FAILURE",
        "the connection to the server could not be made",
        "não foi possível estabelecer a conexão com o servidor",
    ),
    row(
        0x8020_002E,
        "BG_E_CONNECTION_CLOSED",
        "the server closed the connection early",
        "o servidor encerrou a conexão antes do tempo",
    ),
    row(
        0x8020_003E,
        "BG_E_BLOCKED_BY_POLICY",
        "the policy of this host does not allow it",
        "a política deste computador não o permite",
    ),
    row(
        0x8020_003F,
        "BG_E_INVALID_PROXY_INFO",
        "the proxy settings cannot be used",
        "não é possível usar as configurações de proxy",
    ),
    row(
        0x8020_0040,
        "BG_E_INVALID_CREDENTIALS",
        "the format of the credentials is not valid",
        "o formato das credenciais não é válido",
    ),
    row(
        0x8020_0049,
        "BG_E_TOO_MANY_JOBS_PER_USER",
        "the user has reached the limit of jobs",
        "o usuário atingiu o limite de trabalhos",
    ),
    row(
        0x8020_0050,
        "BG_E_TOO_MANY_JOBS_PER_MACHINE",
        "this host has reached its limit of jobs",
        "este computador atingiu o seu limite de trabalhos",
    ),
    row(
        0x8020_0051,
        "BG_E_TOO_MANY_FILES_IN_JOB",
        "the job has reached its limit of files",
        "o trabalho atingiu o seu limite de arquivos",
    ),
    row(
        0x8020_0052,
        "BG_E_TOO_MANY_RANGES_IN_FILE",
        "the file has reached its limit of ranges",
        "o arquivo atingiu o seu limite de intervalos",
    ),
    row(
        0x8020_0053,
        "BG_E_VALIDATION_FAILED",
        "the content of the file is not what was expected",
        "o conteúdo do arquivo não é o esperado",
    ),
    row(
        0x8020_0057,
        "BG_E_UNKNOWN_PROPERTY_ID",
        "there is no property with this number",
        "não há propriedade com este número",
    ),
    row(
        0x8020_0058,
        "BG_E_READ_ONLY_PROPERTY",
        "the property cannot be changed",
        "a propriedade não pode ser alterada",
    ),
    row(
        0x8020_0060,
        "BG_E_PROPERTY_SUPPORTED_FOR_DOWNLOAD_JOBS_ONLY",
        "only downloads have this property",
        "só downloads têm esta propriedade",
    ),
    row(
        0x8020_0061,
        "BG_E_READ_ONLY_PROPERTY_AFTER_ADDFILE",
        "the property cannot be changed once the job has a file",
        "a propriedade não pode ser alterada depois que o trabalho tem um arquivo",
    ),
    row(
        0x8020_0062,
        "BG_E_READ_ONLY_PROPERTY_AFTER_RESUME",
        "the property cannot be changed once the job was resumed",
        "a propriedade não pode ser alterada depois que o trabalho foi retomado",
    ),
    row(
        0x8020_0063,
        "BG_E_MAX_DOWNLOAD_SIZE_INVALID_VALUE",
        "the most that a job may fetch is at least one octet",
        "o máximo que um trabalho pode baixar é de pelo menos um octeto",
    ),
    row(
        0x8020_0064,
        "BG_E_MAX_DOWNLOAD_SIZE_LIMIT_REACHED",
        "the files of the job are larger than it may download",
        "os arquivos do trabalho são maiores do que ele pode baixar",
    ),
    row(
        0x8020_0066,
        "BG_E_USE_STORED_CREDENTIALS_NOT_SUPPORTED",
        "there are no stored credentials",
        "não há credenciais armazenadas",
    ),
    row(
        0x8020_006C,
        "BG_E_DATABASE_CORRUPT",
        "the job store is damaged",
        "o banco de dados dos trabalhos está danificado",
    ),
    row(
        0x8020_006D,
        "BG_E_RANDOM_ACCESS_NOT_SUPPORTED",
        "files come from their beginning to their end",
        "os arquivos vêm do início ao fim",
    ),
    row(
        0x8020_0071,
        "BG_E_NOT_SUPPORTED_WITH_CUSTOM_HTTP_METHOD",
        "this does not go with an HTTP method other than GET",
        "isto não é possível com um método HTTP diferente de GET",
    ),
    row(
        0x8020_0073,
        "BG_E_REMOTE_FILE_CHANGED",
        "the remote file changed while it was transferred",
        "o arquivo remoto mudou durante a transferência",
    ),
];

/// Of a code that is not in the table.
pub(super) const UNKNOWN: Words = Words::new("unknown error", "erro desconhecido");
