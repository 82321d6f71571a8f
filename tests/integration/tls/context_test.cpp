#include "tls/context.hpp"

#include <catch2/catch.hpp>

#include "support/certificates.hpp"

namespace buildkit_lb::tls {

using test::self_signed;

namespace {

std::string problem(const server_files& files)
{
    const auto made = server_context::make(files, inner_protocol::http2);
    REQUIRE_FALSE(made.has_value());
    return made.error().key + ": " + made.error().text;
}

}  // namespace

TEST_CASE("files that can't be used are named with the key that names them, and the remedy")
{
    const self_signed one;
    const self_signed other;
    CHECK_THAT(problem({"/nowhere.pem", one.key(), {}, {}, {}}),
               Catch::StartsWith("cert: '/nowhere.pem' can't be read"));
    CHECK_THAT(problem({"/tmp", one.key(), {}, {}, {}}), Catch::StartsWith("cert: '/tmp' can't be read"));
    CHECK_THAT(problem({one.file("text", "hello"), one.key(), {}, {}, {}}), Catch::Contains("holds no PEM block"));
    CHECK_THAT(problem({one.key(), one.key(), {}, {}, {}}), Catch::Contains("holds no certificate that can be used"));
    CHECK_THAT(problem({one.cert(), one.cert(), {}, {}, {}}),
               Catch::Contains("holds no private key without a pass phrase"));
    CHECK_THAT(problem({one.cert(), other.key(), {}, {}, {}}), Catch::Contains("is not the key of the certificate in"));
    CHECK_THAT(problem({one.cert(), one.key(), one.key(), {}, {}}),
               Catch::StartsWith("client_ca: ") && Catch::Contains("holds no certificate that can be read"));
    CHECK_THAT(problem({one.cert(), one.key(), one.cert(), one.cert(), {}}),
               Catch::StartsWith("client_crl: ") && Catch::Contains("holds no revocation list"));
    CHECK(server_context::make(one.server(), inner_protocol::any).has_value());
    CHECK(client_context::make(one.client()).has_value());
    CHECK(client_context::make({}).has_value());
    const auto lacking = client_context::make({one.file("damaged", "-----BEGIN CERTIFICATE-----\nx\n"), {}, {}, {}});
    REQUIRE_FALSE(lacking.has_value());
    CHECK(lacking.error().key == "ca");
}

}  // namespace buildkit_lb::tls
