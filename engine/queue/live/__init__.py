"""The line as everybody in it sees it: boards, forecasts, the live feed."""
