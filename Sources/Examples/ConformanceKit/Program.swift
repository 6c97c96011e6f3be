public import Foundation

/// A conformance program: what to run, and, where it is known, the trace that asyncio leaves of it.
public struct Program: Sendable, Decodable {
    public let id: String
    public let expected: Run?
    let main: [Statement]
    let sync: [String: Primitive]

    private enum Key: String, CodingKey { case id, main, sync, expect }

    public init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        id = try fields.decode(String.self, forKey: .id)
        main = try fields.decode([Statement].self, forKey: .main)
        sync = try fields.decodeIfPresent([String: Primitive].self, forKey: .sync) ?? [:]
        // Reading a trace costs as much as the program itself, and a plain run has no use for it.
        expected = decoder.userInfo[.readsTraces] == nil ? nil : try fields.decodeIfPresent(Run.self, forKey: .expect)
    }

    /// Reads programs, one JSON object a line.
    ///
    /// - Parameter traces: also reads `expect`.
    public static func read(_ lines: Data, traces: Bool) throws -> [Program] {
        let decoder = JSONDecoder()
        if traces { decoder.userInfo[.readsTraces] = true }
        return try splitLines(lines).map { try decoder.decode(Program.self, from: $0) }
    }
}

/// The lines that are not empty. By way of an array, which is faster to look through than `Data`.
func splitLines(_ lines: Data) -> [Data] {
    [UInt8](lines).split(separator: UInt8(ascii: "\n")).map { Data($0) }
}

extension CodingUserInfoKey {
    fileprivate static var readsTraces: CodingUserInfoKey {
        guard let key = CodingUserInfoKey(rawValue: "readsTraces") else { preconditionFailure("a raw value is all that a key needs") }
        return key
    }
}

/// A lock, an event, a queue… that all tasks of a program share.
enum Primitive: Sendable, Decodable {
    case lock
    case event
    case condition
    case semaphore(permits: Int)
    case barrier(parties: Int)
    case queue(capacity: Int)
    case lifo(capacity: Int)
    case priority(capacity: Int)

    init(from decoder: any Decoder) throws {
        var fields = try decoder.unkeyedContainer()
        switch try fields.decode(String.self) {
        case "lock": self = .lock
        case "event": self = .event
        case "condition": self = .condition
        case "semaphore": self = .semaphore(permits: try fields.decode(Int.self))
        case "barrier": self = .barrier(parties: try fields.decode(Int.self))
        case "queue": self = .queue(capacity: try fields.decode(Int.self))
        case "lifo": self = .lifo(capacity: try fields.decode(Int.self))
        case "priority": self = .priority(capacity: try fields.decode(Int.self))
        case let kind: throw DecodingError.dataCorruptedError(in: fields, debugDescription: "unknown kind of primitive: \(kind)")
        }
    }
}

/// One statement of a program. `t` names a task, `f` a future, `s` a shared primitive; durations are ticks.
indirect enum Statement: Sendable {
    case log(x: String)
    case sleep(d: Int)
    case raise(e: String)
    case `return`(v: Int)
    case loop(n: Int, body: [Statement])
    case attempt(Attempt)
    case spawn(t: String, body: [Statement])
    case cancel(t: String)
    case selfCancel
    case uncancel
    case cancelling
    case state(t: String)
    case await(t: String)
    case waitFor(t: String, d: Int)
    case shield(t: String)
    case gather(ts: [String], exceptions: Bool)
    case wait(ts: [String], when: WaitEnd, d: Int?)
    case timeout(d: Int?, body: [Statement])
    case reschedule(d: Int?)
    case group(body: [Statement])
    case groupSpawn(t: String, body: [Statement])
    case futureSet(f: String, v: Int)
    case futureFail(f: String, e: String)
    case futureCancel(f: String)
    case futureAwait(f: String)
    case futureShield(f: String)
    case with(s: String, body: [Statement])
    case eventSet(s: String)
    case eventClear(s: String)
    case eventWait(s: String)
    case conditionWait(s: String)
    case conditionNotify(s: String, n: Int)
    case barrierWait(s: String)
    case barrierReset(s: String)
    case barrierAbort(s: String)
    case put(s: String, v: Int)
    case get(s: String)
    case putNow(s: String, v: Int)
    case getNow(s: String)
    case taskDone(s: String)
    case join(s: String)
    case shutdown(s: String, immediate: Bool)

    /// The statement `try`.
    struct Attempt: Sendable {
        var body: [Statement]
        /// Kinds of errors.
        var catches: [String]
        var handler: [Statement]
        var reraise: Bool
        /// An empty one still logs.
        var finally: [Statement]?
    }

    enum WaitEnd: String, Sendable, Decodable { case all, first, exception }
}

extension Statement: Decodable {
    private enum Key: String, CodingKey {
        case op, x, d, e, v, n, t, f, s, body, `catch`, handler, reraise, finally, exceptions, ts, when, immediate
    }

    init(from decoder: any Decoder) throws {
        let fields = try decoder.container(keyedBy: Key.self)
        func string(_ key: Key) throws -> String { try fields.decode(String.self, forKey: key) }
        func int(_ key: Key) throws -> Int { try fields.decode(Int.self, forKey: key) }
        func body(_ key: Key = .body) throws -> [Statement] { try fields.decode([Statement].self, forKey: key) }

        switch try string(.op) {
        case "log": self = .log(x: try string(.x))
        case "sleep": self = .sleep(d: try int(.d))
        case "raise": self = .raise(e: try string(.e))
        case "return": self = .return(v: try int(.v))
        case "loop": self = .loop(n: try int(.n), body: try body())
        case "try":
            self = .attempt(
                Attempt(
                    body: try body(),
                    catches: try fields.decodeIfPresent([String].self, forKey: .catch) ?? [],
                    handler: try fields.decodeIfPresent([Statement].self, forKey: .handler) ?? [],
                    reraise: try fields.decodeIfPresent(Bool.self, forKey: .reraise) ?? false,
                    finally: try fields.decodeIfPresent([Statement].self, forKey: .finally)))
        case "spawn": self = .spawn(t: try string(.t), body: try body())
        case "cancel": self = .cancel(t: try string(.t))
        case "self_cancel": self = .selfCancel
        case "uncancel": self = .uncancel
        case "cancelling": self = .cancelling
        case "state": self = .state(t: try string(.t))
        case "await": self = .await(t: try string(.t))
        case "wait_for": self = .waitFor(t: try string(.t), d: try int(.d))
        case "shield": self = .shield(t: try string(.t))
        case "gather":
            self = .gather(
                ts: try fields.decode([String].self, forKey: .ts), exceptions: try fields.decodeIfPresent(Bool.self, forKey: .exceptions) ?? false)
        case "wait":
            self = .wait(
                ts: try fields.decode([String].self, forKey: .ts), when: try fields.decode(WaitEnd.self, forKey: .when),
                d: try fields.decodeIfPresent(Int.self, forKey: .d))
        case "timeout": self = .timeout(d: try fields.decodeIfPresent(Int.self, forKey: .d), body: try body())
        case "reschedule": self = .reschedule(d: try fields.decodeIfPresent(Int.self, forKey: .d))
        case "group": self = .group(body: try body())
        case "group_spawn": self = .groupSpawn(t: try string(.t), body: try body())
        case "future_set": self = .futureSet(f: try string(.f), v: try int(.v))
        case "future_fail": self = .futureFail(f: try string(.f), e: try string(.e))
        case "future_cancel": self = .futureCancel(f: try string(.f))
        case "future_await": self = .futureAwait(f: try string(.f))
        case "future_shield": self = .futureShield(f: try string(.f))
        case "with": self = .with(s: try string(.s), body: try body())
        case "event_set": self = .eventSet(s: try string(.s))
        case "event_clear": self = .eventClear(s: try string(.s))
        case "event_wait": self = .eventWait(s: try string(.s))
        case "condition_wait": self = .conditionWait(s: try string(.s))
        case "condition_notify": self = .conditionNotify(s: try string(.s), n: try int(.n))
        case "barrier_wait": self = .barrierWait(s: try string(.s))
        case "barrier_reset": self = .barrierReset(s: try string(.s))
        case "barrier_abort": self = .barrierAbort(s: try string(.s))
        case "put": self = .put(s: try string(.s), v: try int(.v))
        case "get": self = .get(s: try string(.s))
        case "put_now": self = .putNow(s: try string(.s), v: try int(.v))
        case "get_now": self = .getNow(s: try string(.s))
        case "task_done": self = .taskDone(s: try string(.s))
        case "join": self = .join(s: try string(.s))
        case "shutdown": self = .shutdown(s: try string(.s), immediate: try fields.decode(Bool.self, forKey: .immediate))
        case let op: throw DecodingError.dataCorruptedError(forKey: .op, in: fields, debugDescription: "unknown statement: \(op)")
        }
    }
}
