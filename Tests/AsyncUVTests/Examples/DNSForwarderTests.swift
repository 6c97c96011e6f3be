import DNSMessages
import Foundation
import Testing
@testable import AsyncUV

/// The example as a whole, between dig and a server of the test's own.
@Suite struct DNSForwarderTests {
    /// Runs `body`, and then ends the forwarder, which must have closed what it opened: its last words are given back.
    @discardableResult
    private func withForwarder(
        _ options: String..., before: [SocketAddress] = [], errors expectedErrors: String = "", sourceLocation: SourceLocation = #_sourceLocation,
        _ body: @escaping @Sendable (DNSForwarderProcess, AuthoritativeServer) async throws -> Void
    ) async throws -> String {
        try await withLoop(clock: .system, sourceLocation: sourceLocation) {
            let server = try AuthoritativeServer()
            let serving = LoopTask(name: "server") { try await server.serve() }
            // What a busy machine is too slow for is not what is asked here, unless the test says so.
            let patient = options.contains("--timeout") ? options : options + ["--timeout", "30000"]
            let forwarder = try DNSForwarderProcess(upstreams: before + [server.address], patient)
            do {
                try await body(forwarder, server)
            } catch {
                _ = forwarder.end()
                serving.cancel()
                throw error
            }
            try await eventually(sourceLocation: sourceLocation) { forwarder.program.openDescriptors <= forwarder.idleDescriptors + 1 }
            let (output, errors, status) = forwarder.end()
            #expect(status == 0, sourceLocation: sourceLocation)
            #expect(errors == expectedErrors, sourceLocation: sourceLocation)
            serving.cancel()
            await #expect(throws: CancelledError.self, sourceLocation: sourceLocation) { try await serving.value }
            #expect(output.count == 1, "\(output)", sourceLocation: sourceLocation)
            return output.first ?? ""
        }
    }

    private func query(_ name: String, _ type: DNSType = .a, id: UInt16 = 1) throws -> [UInt8] {
        try DNSDraft(DNSHeader(id: id, flags: .recursionDesired), [DNSQuestion(try DNSName(name), type)]).encoded()
    }

    // MARK: answers

    @Test func digGetsAnAnswerAndTheNextOneFromTheCache() async throws {
        let words = try await withForwarder { forwarder, server in
            for spelling in ["www.example.test", "WWW.Example.test"] {
                let answer = try await forwarder.dig(spelling)
                #expect(answer.status == "NOERROR")
                #expect(answer.flags == ["qr", "rd", "ra"])
                #expect(answer.records.count == 1)
                #expect(answer.records.first?.hasPrefix("\(spelling). ") == true)
                #expect(answer.records.first?.hasSuffix(" IN A 192.0.2.1") == true)
                #expect(answer.warnings == [])
            }
            #expect(server.asked == ["www.example.test. A"])
        }
        #expect(words.hasPrefix("queries 2: cached 1, merged 0, looked up 1, failed 0, malformed 0, refused 0;"), "\(words)")
    }

    @Test func theTimeToLiveCountsDown() async throws {
        try await withForwarder { forwarder, server in
            #expect(try await forwarder.dig("www.example.test").ttl == 300)
            var ttl = 300
            let deadline = ContinuousClock.now + .seconds(20)
            while ttl == 300, ContinuousClock.now < deadline {
                try await LoopTask.sleep(for: .milliseconds(100))
                ttl = try #require(try await forwarder.dig("www.example.test").ttl)
            }
            #expect(ttl < 300 && ttl > 270)
            #expect(server.asked.count == 1)
        }
    }

    @Test func anAnswerThatIsNotGoodForASecondIsAskedForEachTime() async throws {
        try await withForwarder { forwarder, server in
            let ttls = [try await forwarder.dig("short.example.test").ttl, try await forwarder.dig("short.example.test").ttl]
            #expect(ttls == [0, 0])
            #expect(server.asked.count == 2)
        }
    }

    @Test func thatThereIsNothingIsRememberedToo() async throws {
        try await withForwarder { forwarder, server in
            for limit in [900, 60] {
                let name = try await forwarder.dig("nobody.example.test")
                #expect(name.status == "NXDOMAIN")
                #expect(name.records.first?.contains(" SOA ") == true)
                // From the cache for as long as it is there, and not for what the record says of itself.
                #expect((1...limit).contains(name.ttl ?? 0))
                let record = try await forwarder.dig("www.example.test", "MX")
                #expect(record.status == "NOERROR")
                #expect(record.records.first?.contains(" SOA ") == true)
            }
            #expect(server.asked == ["nobody.example.test. A", "www.example.test. MX"])
        }
    }

    @Test func addressesAreLookedUpBackwards() async throws {
        try await withForwarder { forwarder, _ in
            let answer = try await forwarder.dig("-x", "192.0.2.1")
            #expect(answer.records.first?.hasSuffix(" PTR www.example.test.") == true)
        }
    }

    @Test func anAnswerThatIsTooLargeComesByTCPAndThenByUDPTruncated() async throws {
        try await withForwarder { forwarder, server in
            // dig asks again by TCP by itself.
            let answer = try await forwarder.dig("large.example.test", "TXT")
            #expect(answer.records.count == 20)
            #expect(answer.text.contains("Truncated, retrying in TCP mode"))
            #expect(server.asked == ["large.example.test. TXT", "large.example.test. TXT by TCP"])

            let cut = try await forwarder.dig("+ignore", "large.example.test", "TXT")
            #expect(cut.flags.contains("tc"))
            #expect(cut.records.isEmpty)
            #expect(cut.warnings == [])
            #expect(try await forwarder.dig("+tcp", "large.example.test", "TXT").records.count == 20)
            #expect(server.asked.count == 2)
        }
    }

    @Test func whatTheClientSaysAboutItselfIsSentOnAndWhatIsBetweenItAndTheForwarderIsNot() async throws {
        try await withForwarder { forwarder, server in
            let answers = [
                try await forwarder.dig("+noedns", "www.example.test"), try await forwarder.dig("+cookie", "+bufsize=4096", "www.example.test"),
                try await forwarder.dig("+dnssec", "www.example.test"), try await forwarder.dig("+cdflag", "www.example.test"),
            ]
            #expect(answers.map(\.status) == ["NOERROR", "NOERROR", "NOERROR", "NOERROR"])
            #expect(answers.flatMap(\.warnings) == [])
            #expect(answers.map { $0.text.contains("EDNS: version: 0") } == [false, true, true, true])
            #expect(answers[2].text.contains("flags: do"))
            let plain = DNSExtensions(payloadSize: 1232)
            #expect(server.messages.map(\.extensions) == [nil, plain, DNSExtensions(payloadSize: 1232, wantsDNSSEC: true), plain])
            #expect(server.messages.last?.header.flags.contains(.checkingDisabled) == true)
            #expect(Set(server.messages.map(\.header.id)).count > 1)
        }
    }

    @Test func whatIsNotTheAnswerIsPassedOver() async throws {
        try await withForwarder { forwarder, _ in
            let answer = try await forwarder.dig("forged.example.test", "TXT")
            #expect(answer.records.first?.hasSuffix("\"genuine\"") == true)
        }
    }

    @Test func theCacheIsBounded() async throws {
        try await withForwarder("--cache", "2") { forwarder, server in
            for number in [1, 2, 1, 3, 1, 2] {
                let answer = try await forwarder.dig("n\(number).example.test")
                #expect(answer.records.first?.hasSuffix(" 192.0.2.\(number)") == true)
            }
            #expect(server.asked == ["n1", "n2", "n3", "n2"].map { "\($0).example.test. A" })
        }
    }

    // MARK: many at once

    @Test func twoHundredQueriesAtOnceAreAllAnswered() async throws {
        let words = try await withForwarder { forwarder, server in
            server.delay = .milliseconds(200)
            let sockets = try (0..<200).map { _ in try UDPSocket.connect(to: forwarder.address) }
            defer { for socket in sockets { socket.close() } }
            for (index, socket) in sockets.enumerated() { try await socket.send(query("n\(index).example.test", id: UInt16(index))) }
            for (index, socket) in sockets.enumerated() {
                let answer = try DNSMessage(try await socket.receive().bytes)
                #expect(answer.header.id == UInt16(index))
                #expect(Array(answer.data(of: try #require(answer.records.first))) == [192, 0, 2, UInt8(index)])
            }
            #expect(server.asked.count == 200)
        }
        #expect(words.contains("queries 200: cached 0, merged 0, looked up 200, failed 0"), "\(words)")
    }

    @Test func tenClientsThatAskTwentyTimesEachAreAllAnswered() async throws {
        try await withForwarder { forwarder, server in
            let clients = (0..<10).map { client in
                LoopTask {
                    let answer = try await forwarder.dig(["+short"] + (0..<20).map { "n\(client * 20 + $0).example.test" })
                    #expect(answer.records == (0..<20).map { "192.0.2.\(client * 20 + $0)" })
                }
            }
            _ = try await LoopTask.gather(clients)
            #expect(server.asked.count == 200)
        }
    }

    @Test func identicalQueriesInFlightAreAskedOnce() async throws {
        let words = try await withForwarder { forwarder, server in
            server.delay = .milliseconds(500)
            let sockets = try (0..<50).map { _ in try UDPSocket.connect(to: forwarder.address) }
            defer { for socket in sockets { socket.close() } }
            for (index, socket) in sockets.enumerated() { try await socket.send(query("www.example.test", id: UInt16(index))) }
            for (index, socket) in sockets.enumerated() {
                let answer = try DNSMessage(try await socket.receive().bytes)
                #expect(answer.header.id == UInt16(index))
                #expect(answer.records.count == 1)
            }
            #expect(server.asked.count == 1)
        }
        #expect(words.contains("queries 50: cached 0, merged 49, looked up 1"), "\(words)")
    }

    @Test func whoWaitsBeyondTheLimitIsToldThatItFailed() async throws {
        let words = try await withForwarder("--limit", "5", "--timeout", "60000") { forwarder, server in
            server.delay = .seconds(2)
            let socket = try UDPSocket.connect(to: forwarder.address)
            defer { socket.close() }
            for index in 0..<20 { try await socket.send(query("n\(index).example.test", id: UInt16(index))) }
            var codes: [DNSCode] = []
            for _ in 0..<20 { codes.append(try DNSMessage(try await socket.receive().bytes).header.code) }
            #expect(codes == [DNSCode](repeating: .serverFailure, count: 15) + [DNSCode](repeating: .noError, count: 5))
        }
        #expect(words.contains("queries 20: cached 0, merged 0, looked up 5, failed 0, malformed 0, refused 15"), "\(words)")
    }

    @Test func queriesOfOneConnectionAreAnsweredAsTheyAreReady() async throws {
        try await withForwarder { forwarder, server in
            let stream = try await TCPStream.connect(to: forwarder.address)
            defer { stream.abort() }
            for index in 0..<100 {
                let query = try query("n\(index).example.test", id: UInt16(index))
                try await stream.write(parts: [[0, UInt8(query.count)], query])
            }
            // No more of them; the answers are still wanted.
            try stream.closeWrite()
            var ids: Set<UInt16> = []
            for _ in 0..<100 {
                let length = try await stream.read(exactly: 2)
                let answer = try DNSMessage(try await stream.read(exactly: Int(length[0]) << 8 | Int(length[1])))
                #expect(answer.records.count == 1)
                ids.insert(answer.header.id)
            }
            #expect(ids.count == 100)
            #expect(try await stream.read() == nil)
        }
    }

    @Test func clientsThatGoAwayLeaveNothing() async throws {
        try await withForwarder { forwarder, server in
            server.delay = .milliseconds(300)
            for index in 0..<100 {
                let stream = try await TCPStream.connect(to: forwarder.address)
                let query = try query("n\(index).example.test")
                try await stream.write([0, UInt8(query.count)] + (index % 2 == 0 ? query : Array(query.dropLast())))
                stream.abort()
            }
            #expect(try await forwarder.dig("+tcp", "www.example.test").status == "NOERROR")
        }
    }

    @Test func aClientThatGoesAwayDoesNotTakeTheAnswerOfAnotherAlong() async throws {
        let words = try await withForwarder { forwarder, server in
            server.delay = .milliseconds(700)
            let query = try query("www.example.test")
            let first = try await TCPStream.connect(to: forwarder.address), second = try await TCPStream.connect(to: forwarder.address)
            defer { second.abort() }
            for stream in [first, second] { try await stream.write([0, UInt8(query.count)] + query) }
            try await eventually { server.asked.count == 1 }
            first.abort()
            let length = try await second.read(exactly: 2)
            #expect(try DNSMessage(try await second.read(exactly: Int(length[0]) << 8 | Int(length[1]))).records.count == 1)
            #expect(server.asked.count == 1)
        }
        #expect(words.contains("merged 1, looked up 1, failed 0"), "\(words)")
    }

    // MARK: trouble

    /// An address where nobody is.
    private func deadAddress() async throws -> SocketAddress {
        try await withLoop(clock: .system) {
            let socket = try UDPSocket.bind(host: "127.0.0.1", port: 0)
            defer { socket.close() }
            return socket.address
        }
    }

    @Test func ifOneIsGoneTheNextIsAsked() async throws {
        let dead = try await deadAddress()
        let complaint = "DNSForwarder: \(dead) does not answer: "
        let words = try await withForwarder(before: [dead], errors: complaint + refused(dead)) { forwarder, server in
            let answers = [try await forwarder.dig("n1.example.test"), try await forwarder.dig("n2.example.test")]
            #expect(answers.map(\.status) == ["NOERROR", "NOERROR"])
            #expect(server.asked.count == 2)
        }
        // The second query goes to the one that has answered.
        #expect(words.contains("failed attempts 1,"), "\(words)")
    }

    private func refused(_ address: SocketAddress) -> String {
        "receive \(address): a datagram sent earlier was not delivered: connection refused (ECONNREFUSED), nobody receives there\n"
    }

    @Test func ifOneIsSilentTheNextIsAskedAfterATimeout() async throws {
        try await withLoop(clock: .system) {
            let silent = try AuthoritativeServer()
            silent.isSilent = true
            let serving = LoopTask(name: "silent server") { try await silent.serve() }
            let complaint = "DNSForwarder: \(silent.address) does not answer: timed out\n"
            let words = try await withForwarder("--timeout", "1000", before: [silent.address], errors: complaint) { forwarder, server in
                let answers = [try await forwarder.dig("n1.example.test"), try await forwarder.dig("n2.example.test")]
                #expect(answers.map(\.status) == ["NOERROR", "NOERROR"])
                #expect(server.asked.count == 2)
            }
            #expect(silent.asked.count == 1)
            #expect(words.contains("failed attempts 1,"), "\(words)")
            serving.cancel()
            await #expect(throws: CancelledError.self) { try await serving.value }
        }
    }

    @Test func ifNobodyAnswersItFailsAndWorksAgainWhenSomebodyDoes() async throws {
        try await withLoop(clock: .system) {
            let dead = try UDPSocket.bind(host: "127.0.0.1", port: 0)
            let address = dead.address
            dead.close()
            let forwarder = try DNSForwarderProcess(upstreams: [address])
            for _ in 0..<2 {
                let answer = try await forwarder.dig("www.example.test")
                #expect(answer.status == "SERVFAIL")
                #expect(answer.records.isEmpty)
            }
            let back = try UDPSocket.bind(to: address)
            let serving = LoopTask {
                let datagram = try await back.receive()
                let query = try DNSMessage(datagram.bytes)
                var draft = DNSDraft(DNSHeader(id: query.header.id, flags: .response), query.questions)
                draft.answers = [DNSDraft.Record(query.questions[0].name, .a, ttl: 1, data: [192, 0, 2, 9])]
                try await back.send(draft.encoded(), to: datagram.sender)
            }
            #expect(try await forwarder.dig("www.example.test").records.first?.hasSuffix(" 192.0.2.9") == true)
            try await serving.value
            back.close()
            let (output, errors, status) = forwarder.end()
            #expect(status == 0)
            #expect(errors == "DNSForwarder: \(address) does not answer: \(refused(address))DNSForwarder: \(address) answers again\n")
            #expect(output.first?.contains("looked up 3, failed 2,") == true, "\(output)")
        }
    }

    @Test func anAnswerOfRefusalIsTheLastResort() async throws {
        try await withLoop(clock: .system) {
            let other = try AuthoritativeServer()
            let serving = LoopTask(name: "other server") { try await other.serve() }
            try await withForwarder(before: [other.address]) { forwarder, server in
                let answer = try await forwarder.dig("refused.example.test")
                #expect(answer.status == "REFUSED")
                #expect(server.asked.count == 1)
            }
            #expect(other.asked.count == 1)
            serving.cancel()
            await #expect(throws: CancelledError.self) { try await serving.value }
        }
    }

    @Test func garbageIsAnsweredByAnErrorOrNotAtAll() async throws {
        let words = try await withForwarder { forwarder, _ in
            let query = try query("www.example.test", id: 0x1234)
            for end in 0..<query.count {
                let answer = try await forwarder.exchange(Array(query[..<end]))
                #expect(answer == (end < 12 ? nil : [0x12, 0x34, 0x81, 0x81] + [UInt8](repeating: 0, count: 8)), "cut at \(end)")
            }
            // An answer, and one that is broken.
            var answer = query
            answer[2] |= 0x80
            #expect(try await forwarder.exchange(answer) == nil)
            #expect(try await forwarder.exchange(Array(answer.dropLast())) == nil)
            // A pointer to itself; another operation than a query; ten thousand questions; the largest datagram.
            #expect(try await forwarder.exchange([0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]) == [0, 1, 0x81, 0x81] + [UInt8](repeating: 0, count: 8))
            var notification = query
            notification[2] |= 0x20
            #expect(try await forwarder.exchange(notification)?[3] == 0x84)
            #expect(try await forwarder.exchange([0, 1, 0, 0, 0x27, 0x10] + [UInt8](repeating: 0, count: 6 + 50_000))?.count == 12)
            #expect(try await forwarder.exchange([UInt8](repeating: 0, count: 65_507))?.count == 12)
            #expect(try await forwarder.dig("www.example.test").status == "NOERROR")
        }
        // Each with the one that is sent behind it.
        #expect(words.contains("queries \(2 * (34 + 6) + 1): cached 0, merged 0, looked up 1, failed 0, malformed \(2 * (34 + 6)), "), "\(words)")
    }

    @Test func theEndComesAtOnceWhileQueriesWait() async throws {
        try await withLoop(clock: .system) {
            let silent = try UDPSocket.bind(host: "127.0.0.1", port: 0)
            let forwarder = try DNSForwarderProcess(upstreams: [silent.address], ["--timeout", "60000"])
            let socket = try UDPSocket.connect(to: forwarder.address)
            for index in 0..<20 { try await socket.send(query("n\(index).example.test")) }
            let stream = try await TCPStream.connect(to: forwarder.address)
            for _ in 0..<20 { _ = try await silent.receive() }
            let began = ContinuousClock.now
            let (output, errors, status) = forwarder.end()
            #expect(status == 0)
            #expect(errors == "")
            #expect(output.first?.hasPrefix("queries 20: ") == true)
            #expect(ContinuousClock.now - began < .seconds(8))
            stream.abort()
            socket.close()
            silent.close()
        }
    }

    @Test(arguments: [
        ([], "--port is missing"), (["--port", "0"], "--upstream is missing"), (["--port", "65536"], "--port 65536: a port is a number from 0 to 65535"),
        (["--verbose", "1"], "unknown option '--verbose'"), (["--port", "0", "--upstream", "nonsense"], "--upstream nonsense"),
    ])
    func whatItCannotDoItSays(arguments: [String], message: String) throws {
        let (output, errors, status) = try ChildProgram("DNSForwarder", arguments: arguments).end()
        #expect(output == [])
        #expect(errors.hasPrefix("DNSForwarder: "))
        #expect(errors.split(separator: "\n").first?.contains(message) == true, "\(errors)")
        #expect(status == 64)
    }
}
