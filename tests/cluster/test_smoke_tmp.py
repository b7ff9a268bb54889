def test_hello(operator, place):
    place.template()
    place.preference("alice", {"session.minutes": 5})
    place.wait_user("alice", {"session.minutes": 5})
    place.accepted("alice")
    place.rendered()
    operator.quiet()
