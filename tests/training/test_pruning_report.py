from sktricks import PruningReport


def test_layers_that_keep_all_channels_are_named():
    lines = str(PruningReport(0.25, 200, 150, [], ["attention.qkv"])).splitlines()
    assert lines == [
        "channels removed   25 %",
        "parameters         150 of 200 (75.0 %)",
        "layers kept whole  attention.qkv",
    ]
